"""Which region an image loses before its background is judged, and which file's saving it imitates."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from vilaco.data.records import AUTHENTIC, TAMPERED, Record
from vilaco.decoding import turn
from vilaco.errors import ImageError
from vilaco.evaluation.profiles import resize_mask
from vilaco.images import Photo, load_mask

_UNDO_ORIENTATION = {6: 8, 8: 6}
"""The orientation that turns an upright array back to the stored grid; the others undo themselves."""


def lenders(records: Sequence[Record], *, seed: int, need_mask: bool) -> dict[Record, Record]:
    """Give every authentic image a random tampered one to borrow from; a tampered image lends to itself.

    Args:
        records: Labelled records.
        seed: Of the draw.
        need_mask: Only tampered images with a mask lend.

    Returns:
        Lender by borrower; records without one are absent.
    """
    possible = [r for r in records if r.label == TAMPERED and (r.mask is not None or not need_mask)]
    borrowers = [r for r in records if r.label == AUTHENTIC]
    if not possible:
        return {}
    drawn = np.random.default_rng(seed).integers(len(possible), size=len(borrowers))
    return {r: r for r in possible} | {b: possible[i] for b, i in zip(borrowers, drawn, strict=True)}


class Regions:
    """Regions to remove, on the stored grid of the image that loses them.

    Args:
        records: Labelled records.
        seed: Of the borrowing.

    Attributes:
        unusable: Why a mask could not be used, by its record: unreadable, or no tampered pixel.
        resized: Tampered images whose mask has another size than they have.
    """

    def __init__(self, records: Sequence[Record], *, seed: int) -> None:
        self._lenders = lenders(records, seed=seed, need_mask=True)
        self.unusable: dict[Record, str] = {}
        self.resized: set[Record] = set()

    def region(self, record: Record, photo: Photo) -> NDArray[np.bool_] | None:
        """Its own mask, or the borrowed one stretched to its size, ``(H, W)``; None if there is none."""
        lender = self._lenders.get(record)
        if lender is None or lender.mask is None:
            return None
        try:
            mask = load_mask(lender.mask, lender.mask_rule)
        except ImageError as error:
            self.unusable[lender] = str(error)
            return None
        if not mask.any():
            self.unusable[lender] = f"{lender.mask}: the mask has no tampered pixel"
            return None
        if mask.shape != photo.upright_size:
            if lender == record:
                self.resized.add(record)
            mask = resize_mask(mask, photo.upright_size)
        return turn(mask, _UNDO_ORIENTATION.get(photo.orientation, photo.orientation))
