"""How often a model accuses authentic photos: as they are, saved again, made smaller."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from vilaco.errors import DataError, ImageError
from vilaco.evaluation.histories import INNOCENT_CHANGES
from vilaco.images import load_photo
from vilaco.localizer import Localizer
from vilaco.notes import Noted
from vilaco.result import Verdict


@dataclass(frozen=True)
class VerdictShares:
    """What a model says of the same authentic photos in one state.

    Attributes:
        state: ``"as stored"`` or one of :data:`~vilaco.evaluation.histories.INNOCENT_CHANGES`.
        verdicts: Photos by verdict.
    """

    state: str
    verdicts: Counter[Verdict]

    @property
    def false_alarms(self) -> float:
        """Share of the photos that are called tampered, in [0, 1]."""
        return self.verdicts["tampered"] / self.verdicts.total()

    @property
    def undecided(self) -> float:
        """Share of the photos of which the model cannot tell, in [0, 1]."""
        return self.verdicts["cannot tell"] / self.verdicts.total()


@dataclass(frozen=True)
class VerdictReport:
    """Verdicts on authentic photos.

    Attributes:
        rows: One for each state.
        skipped: Photos that could not be read.
        noted: Photos that were read otherwise than their files store them; ``None`` where there is none.
    """

    rows: tuple[VerdictShares, ...]
    skipped: tuple[ImageError, ...]
    noted: Noted | None


def authentic_verdicts(localizer: Localizer, photos: Iterable[Path]) -> VerdictReport:
    """Judge authentic photos as they are and after innocent changes, at the thresholds of the model.

    Args:
        localizer: The model.
        photos: Authentic photos; for honest figures, others than it was trained and calibrated on.

    Raises:
        DataError: If no photo can be read.
    """
    states = {"as stored": lambda pixels: pixels, **INNOCENT_CHANGES}
    verdicts: dict[str, Counter[Verdict]] = {state: Counter() for state in states}
    skipped, noted = [], []
    for path in photos:
        try:
            photo = load_photo(path)
        except ImageError as error:
            skipped.append(error)
            continue
        noted.append((path, photo.notes))
        for state, change in states.items():
            verdicts[state][localizer.predict(replace(photo, pixels=change(photo.pixels))).verdict] += 1
    if not verdicts["as stored"]:
        raise DataError("none of the photos can be read" + "".join(f": {error}" for error in skipped[:1]))
    rows = tuple(VerdictShares(*item) for item in verdicts.items())
    return VerdictReport(rows, tuple(skipped), Noted.among(noted))
