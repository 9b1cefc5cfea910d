"""A suspect beside its original: what the whole picture went through, and what that does not explain.

`compare` takes two photos: :mod:`~vilaco.compare.register` lays the original over the suspect,
:mod:`~vilaco.compare.explain` does to it what was done to the whole picture, and :mod:`~vilaco.compare.changes` marks
where the suspect differs from that.
"""

from vilaco.compare.compare import Comparison, compare, compare_photos
from vilaco.compare.row import ComparisonRow

__all__ = ["Comparison", "ComparisonRow", "compare", "compare_photos"]
