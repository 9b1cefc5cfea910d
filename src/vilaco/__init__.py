"""Find forged regions in photos, with models trained on image-level labels alone.

``import vilaco`` is light: neither torch nor an image library is loaded until a name below is used.
"""

from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"
__all__ = ["Localizer", "Result", "__version__"]

if TYPE_CHECKING:
    from vilaco.localizer import Localizer
    from vilaco.result import Result

_HOMES = {"Localizer": "vilaco.localizer", "Result": "vilaco.result"}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'vilaco' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_HOMES[name]), name)
