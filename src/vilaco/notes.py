"""What is to be said of many photos at once, where each has notes of its own (see :class:`~vilaco.images.Photo`)."""

from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Self

from pydantic import BaseModel, ConfigDict

from vilaco.decoding import kind_of_note
from vilaco.names import Text


class Noted(BaseModel):
    """Photos that were read otherwise than their files store them.

    Attributes:
        photos: How many, at least 1.
        kinds: Of how many each kind of note was, the most frequent first; see `kind_of_note`.
        first: The first of them.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    photos: int
    kinds: dict[str, int]
    first: Text

    @classmethod
    def among(cls, photos: Iterable[tuple[str | Path, Sequence[str]]]) -> Self | None:
        """Count the photos that have notes; ``None`` where none has.

        Args:
            photos: Name and notes of each.

        Example:
            >>> print(Noted.among([("a.jpg", ()), ("b.gif", ["page 1 of 3"]), ("c.gif", ["page 1 of 9"])]))
            2 photos were read otherwise than stored: one page of several (2); the first is b.gif
        """
        noted = [(name, notes) for name, notes in photos if notes]
        if not noted:
            return None
        kinds = Counter(kind for _, notes in noted for kind in dict.fromkeys(map(kind_of_note, notes)))
        return cls(photos=len(noted), kinds=dict(kinds.most_common()), first=str(noted[0][0]))

    def __str__(self) -> str:
        kinds = ", ".join(f"{kind} ({count})" for kind, count in self.kinds.items())
        what = "1 photo was" if self.photos == 1 else f"{self.photos:,} photos were"
        return f"{what} read otherwise than stored: {kinds}; the first is {self.first}"
