"""The shortcut audit: can the labels of a data set be told without looking at the forgery?"""

from vilaco.evaluation.audit.dataset import audit_dataset
from vilaco.evaluation.audit.page import audit_page
from vilaco.evaluation.audit.report import AuditReport

__all__ = ["AuditReport", "audit_dataset", "audit_page"]
