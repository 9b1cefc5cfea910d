"""Believable forgeries with exact masks from authentic photos.

:func:`forge_dataset` writes a data set; :func:`make_example` draws one picture in memory, for training
online.

Authentic and tampered pictures take one path: a view of a photo, a camera's JPEG, (the forgery,) and a
history of saves, crops and re-scalings that was drawn before the label was known. What is left to tell the
two apart is the forgery itself.
"""

from vilaco.data.forge.config import ForgeConfig
from vilaco.data.forge.dataset import ForgeSummary, forge_dataset
from vilaco.data.forge.engine import Example, make_example
from vilaco.data.forge.photos import PhotoPool

__all__ = ["Example", "ForgeConfig", "ForgeSummary", "PhotoPool", "forge_dataset", "make_example"]
