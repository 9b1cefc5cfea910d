"""The one record that every data format is read into."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from vilaco.data.boxes import Box

AUTHENTIC, TAMPERED = 0, 1


@dataclass(frozen=True, slots=True)
class Record:
    """One image of a data set.

    Attributes:
        path: The image file.
        label: Image-level truth: 1 tampered, 0 authentic, ``None`` unlabelled.
        mask: Pixel-level truth, or ``None``. Only evaluation may look at it; training gets
            :class:`~vilaco.data.loading.WeakRecord`, which has no such field.
        group: Scene of the image; images of one group stay on one side of every split. ``None`` when unknown,
            and the image is then a group of its own.
        mask_rule: How a mask pixel becomes tampered: ``"nonzero"`` (any channel above zero), ``"zero"`` (DSO-1:
            black is tampered) or ``"green"`` (Columbia: bright or regular green).
        boxes: Around what was tampered with, in the upright photo; training looks at them only where it is asked to.
    """

    path: Path
    label: int | None
    mask: Path | None = None
    group: str | None = None
    mask_rule: Literal["nonzero", "zero", "green"] = "nonzero"
    boxes: tuple[Box, ...] = ()
