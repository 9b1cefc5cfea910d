"""What vilaco says about one photo, and how it is kept."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Literal, Self

import cv2
import numpy as np
from pydantic import BaseModel, ConfigDict

from vilaco.calibration import RegionThresholds
from vilaco.errors import DataError
from vilaco.files import RESULT_ENDINGS, STANDARD_INPUT, result_stem, write_atomically
from vilaco.images import Photo, encode_jpeg, encode_png
from vilaco.names import as_text
from vilaco.report.overlay import draw_overlay

MIN_REGION_SHARE = 0.0005
"""Parts below this share of the image are specks: 7 x 7 pixels of 384 x 256, 77 x 77 of 12 megapixels."""

_NAMELESS = ("<bytes>", "<array>", STANDARD_INPUT)

NOTHING_TO_JUDGE = "the picture is blank, or nearly: there is nothing to judge"
"""Note of a result without a verdict."""

UNLIKE = "unlike nearly all photos that the model was calibrated on"
"""What a photo is that lies beyond them in one of its `traits <vilaco.traits>`."""

_PAGE = re.compile(r"\.page\d+$")

Verdict = Literal["tampered", "nothing found", "cannot tell"]
"""Everything that can be said of a photo; that a photo is authentic cannot be."""

Strength = Literal["strong", "weak"]
"""Evidence of a region."""


class Region(BaseModel):
    """One connected part of the predicted mask.

    Attributes:
        box: ``(x, y, width, height)`` in pixels; x to the right, y down, from the upper left corner.
        area: Number of pixels.
        mean_score: Mean of the localization map over the part, in [0, 1]: its evidence.
        strength: What that is worth, by how rare it is on authentic photos; ``None`` where that is not known.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    box: tuple[int, int, int, int]
    area: int
    mean_score: float
    strength: Strength | None = None


class ResultRow(BaseModel):
    """One line of ``results.jsonl``: a `Result` without its pictures.

    Attributes:
        mask: Where the mask was saved, below the folder of the results; ``None`` where it was not.
        map: Likewise, the map.
        overlay: Likewise, the overlay.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    path: str
    verdict: Verdict
    label: int
    detection_score: float
    regions: tuple[Region, ...]
    width: int
    height: int
    decision_threshold: float
    authentic_threshold: float
    mask_threshold: float
    region_thresholds: RegionThresholds | None = None
    model: str
    seconds: float
    page: int = 1
    pages: int = 1
    is_blank: bool = False
    unlike: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    mask: str | None = None
    map: str | None = None
    overlay: str | None = None


@dataclass(frozen=True, slots=True)
class SavedFiles:
    """Where `Result.save` wrote: mask PNG (0/255), 16-bit map PNG, overlay JPEG."""

    mask: Path
    map: Path
    overlay: Path

    def below(self, folder: str | Path) -> dict[str, str]:
        """The three as a `ResultRow` has them, from a folder that they lie in."""
        paths = {"mask": self.mask, "map": self.map, "overlay": self.overlay}
        return {name: as_text(path.relative_to(folder).as_posix()) for name, path in paths.items()}


@dataclass(frozen=True, eq=False)
class Result:
    """Verdict, map and mask of one photo, at the photo's own size, the way a person sees it.

    The map says of each pixel how likely it is tampered, on authentic photos too. The mask is what of it is worth a
    look: the regions whose evidence is rare on authentic photos, where that is known. A photo where nothing was found
    has none. `verdict`, `label`, `pred_mask` and `regions` follow from the fields.

    Attributes:
        path: The photo's file, ``"<bytes>"``, ``"<array>"`` or ``"<stdin>"``.
        detection_score: How likely the photo is tampered, in [0, 1]; a probability where the model is calibrated.
        localization_map: How likely each pixel is, (H, W) float32 in [0, 1].
        pixels: The upright photo, (H, W, 3) uint8 RGB: a reference, no copy, kept for the overlay.
        model: Name of the model that judged.
        seconds: Time it took, reading the file included.
        decision_threshold: Detection scores above this mean tampered.
        authentic_threshold: Detection scores up to this speak for an authentic photo; not above ``decision_threshold``.
        mask_threshold: Map values above this mean tampered.
        region_thresholds: What the evidence of a region has to be above; every region counts where ``None``.
        page: Which of the file's pictures it is, from 1.
        pages: How many there are.
        is_blank: Whether the picture has one colour, or nearly: whatever the score, there is no verdict then.
        unlike: In what the photo is unlike those the model was calibrated on (see :mod:`vilaco.traits`), so that the
            rates it was calibrated for may not hold.
        notes: How what was judged differs from what the file stores, a sentence each.
    """

    path: str
    detection_score: float
    localization_map: np.ndarray = field(repr=False)
    pixels: np.ndarray = field(repr=False)
    model: str
    seconds: float
    decision_threshold: float = 0.5
    authentic_threshold: float = 0.5
    mask_threshold: float = 0.5
    region_thresholds: RegionThresholds | None = None
    page: int = 1
    pages: int = 1
    is_blank: bool = False
    unlike: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        values = self.localization_map
        if values.ndim != 2 or values.dtype != np.float32:
            raise ValueError(f"localization_map must be (H, W) float32, got {values.shape} {values.dtype}.")
        if self.pixels.shape != (*values.shape, 3) or self.pixels.dtype != np.uint8:
            raise ValueError(f"pixels must be {(*values.shape, 3)} uint8, got {self.pixels.shape} {self.pixels.dtype}.")
        if not (values.min() >= 0 and values.max() <= 1):  # not: NaN must fail too
            raise ValueError("localization_map must stay in [0, 1].")
        for name in ("detection_score", "decision_threshold", "authentic_threshold", "mask_threshold"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} must be in [0, 1], got {getattr(self, name)}.")
        if self.authentic_threshold > self.decision_threshold:
            raise ValueError(
                f"authentic_threshold must not be above decision_threshold, "
                f"got {self.authentic_threshold} and {self.decision_threshold}."
            )

    @classmethod
    def from_map(
        cls,
        photo: Photo,
        localization_map: np.ndarray,
        detection_score: float,
        *,
        model: str,
        seconds: float,
        decision_threshold: float = 0.5,
        authentic_threshold: float = 0.5,
        mask_threshold: float = 0.5,
        region_thresholds: RegionThresholds | None = None,
        is_blank: bool = False,
        unlike: tuple[str, ...] = (),
    ) -> Self:
        """Result of a photo from what a model said about it.

        Args:
            photo: The photo as loaded.
            localization_map: (H, W) in [0, 1], at the photo's upright size.
            detection_score: In [0, 1].
            model: Name of the model.
            seconds: Time it took.
            decision_threshold: Detection scores above this mean tampered.
            authentic_threshold: Detection scores up to this speak for an authentic photo; not above
                ``decision_threshold``.
            mask_threshold: Map values above this mean tampered.
            region_thresholds: What the evidence of a region has to be above.
            is_blank: Whether there is nothing to judge; the map is then zero.
            unlike: In what the photo is unlike those the model was calibrated on.

        Raises:
            ValueError: If a value leaves its range or the map's size is not the photo's.
        """
        values = np.asarray(localization_map, np.float32)
        return cls(
            path=photo.source,
            detection_score=float(detection_score),
            localization_map=np.zeros_like(values) if is_blank else values,
            pixels=photo.upright(photo.pixels),
            model=model,
            seconds=seconds,
            decision_threshold=decision_threshold,
            authentic_threshold=authentic_threshold,
            mask_threshold=mask_threshold,
            region_thresholds=region_thresholds,
            page=photo.page,
            pages=photo.pages,
            is_blank=is_blank,
            unlike=unlike,
            notes=(*photo.notes, NOTHING_TO_JUDGE) if is_blank else photo.notes,
        )

    @property
    def verdict(self) -> Verdict:
        """What to say of the photo; ``"cannot tell"`` where score and regions are evidence for neither answer."""
        if self.label:
            return "tampered"
        if self.is_blank or self.detection_score > self.authentic_threshold:
            return "cannot tell"
        return "cannot tell" if self.region_thresholds and self.regions else "nothing found"

    @property
    def label(self) -> int:
        """The verdict as metrics need it: 1 tampered, 0 anything else."""
        return int(self.detection_score > self.decision_threshold and not self.is_blank)

    @cached_property
    def _found(self) -> tuple[np.ndarray, tuple[Region, ...]]:
        above = self.localization_map > self.mask_threshold
        labels, parts = _parts(above, self.localization_map)
        if self.region_thresholds is None:
            return above, tuple(part for _, part in parts)
        limits = self.region_thresholds
        kept = [(number, part) for number, part in parts if part.mean_score > limits.weak]
        shown = np.zeros(labels.max() + 1, bool)
        shown[[number for number, _ in kept]] = True
        strengths: list[Strength] = ["strong" if part.mean_score > limits.strong else "weak" for _, part in kept]
        told = (part.model_copy(update={"strength": word}) for (_, part), word in zip(kept, strengths, strict=True))
        return shown[labels], tuple(told)

    @property
    def pred_mask(self) -> np.ndarray:
        """Where the photo is judged tampered, (H, W) bool: `regions`, or the whole map where their worth is unknown."""
        return self._found[0]

    @property
    def regions(self) -> tuple[Region, ...]:
        """Connected parts of `pred_mask`, most important first; see `find_regions`."""
        return self._found[1]

    @cached_property
    def shown_map(self) -> np.ndarray:
        """The map where it is worth a look, (H, W) float32: 0 outside of `regions` where their worth is known."""
        return self.localization_map if self.region_thresholds is None else self.localization_map * self.pred_mask

    def overlay(self) -> np.ndarray:
        """The photo with heat on the mask, which is outlined, (H, W, 3) uint8 RGB."""
        return draw_overlay(self.pixels, self.shown_map, self.pred_mask)

    def to_row(self) -> ResultRow:
        """The line of ``results.jsonl``; ``.model_dump_json()`` gives its text."""
        height, width = self.localization_map.shape
        return ResultRow(
            path=self.path,
            verdict=self.verdict,
            label=self.label,
            detection_score=self.detection_score,
            regions=self.regions,
            width=width,
            height=height,
            decision_threshold=self.decision_threshold,
            authentic_threshold=self.authentic_threshold,
            mask_threshold=self.mask_threshold,
            region_thresholds=self.region_thresholds,
            model=self.model,
            seconds=self.seconds,
            page=self.page,
            pages=self.pages,
            is_blank=self.is_blank,
            unlike=self.unlike,
            notes=self.notes,
        )

    def to_json(self) -> str:
        """The line of ``results.jsonl`` as text, without the line end."""
        return self.to_row().model_dump_json()

    def save(self, out_dir: str | Path, stem: str | Path | None = None) -> SavedFiles:
        """Write ``<stem>.mask.png``, ``<stem>.map.png`` and ``<stem>.overlay.jpg``, each whole or not at all.

        Args:
            out_dir: Folder of the results; made if missing.
            stem: Name the three share, folders inside ``out_dir`` included; by default the photo's file name
                without its extension.

        Returns:
            The three paths.

        Raises:
            ValueError: If the stem would leave ``out_dir``.
            VilacoError: If a file cannot be written.
        """
        if stem is None:
            stem = result_stem(Path(Path(self.path).name)) if self.path not in _NAMELESS else self.path.strip("<>")
        stem = Path(stem)
        if stem.is_absolute() or ".." in stem.parts or not stem.name:
            raise ValueError(f"stem must be a name inside the folder, got {str(stem)!r}.")
        base = Path(out_dir) / stem
        saved = SavedFiles(*(base.with_name(base.name + end) for end in RESULT_ENDINGS))
        write_atomically(saved.mask, encode_png(self.pred_mask.astype(np.uint8) * 255))
        write_atomically(saved.map, encode_png(_levels(self.localization_map)))
        write_atomically(saved.overlay, encode_jpeg(self.overlay(), 90, subsampling="4:4:4"))
        return saved


def read_rows(file: Path) -> dict[tuple[str, int], ResultRow]:
    """Lines of a ``results.jsonl`` by path and page of their photo, the last one of each; none where there is no file.

    Raises:
        DataError: If it cannot be read, or a line is no result.
    """
    rows = {}
    try:
        lines = file.read_text("utf-8").split("\n")  # not splitlines: a name may hold what it takes for a line's end
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise DataError(f"{file}: cannot be read ({error.strerror or error})") from error
    except ValueError as error:
        raise DataError(f"{file}: is no UTF-8 text; give another folder") from error
    for number, line in enumerate(lines, start=1):
        try:
            row = ResultRow.model_validate_json(line) if line else None
        except ValueError as error:
            raise DataError(f"{file}: line {number} is no result of vilaco detect; give another folder") from error
        if row is not None:
            rows[row.path, row.page] = row
    return rows


def saved_names(rows: Sequence[ResultRow]) -> dict[str, str]:
    """What the results of photos are named after, by path: as :func:`vilaco.files.name_results` gave it to them."""
    names = {row.path: row.mask.removesuffix(RESULT_ENDINGS[0]) for row in rows if row.mask}
    paged = {row.path for row in rows if row.pages > 1}
    return {path: _PAGE.sub("", name) if path in paged else name for path, name in names.items()}


def find_regions(
    pred_mask: np.ndarray, localization_map: np.ndarray, *, min_share: float = MIN_REGION_SHARE
) -> tuple[Region, ...]:
    """Connected parts of a mask, pixels touching by a side or a corner, by descending area times mean score.

    Parts smaller than ``min_share`` of the image are dropped, except the largest: a mask that is not empty
    has a region.

    Args:
        pred_mask: (H, W) bool.
        localization_map: (H, W) float in [0, 1].
        min_share: Smallest share of the image's pixels that makes a region.

    Example:
        >>> mask = np.array([[1, 0, 0], [0, 1, 0], [0, 0, 0]], bool)
        >>> find_regions(mask, mask * np.float32(0.75))
        (Region(box=(0, 0, 2, 2), area=2, mean_score=0.75, strength=None),)
    """
    _, parts = _parts(pred_mask, localization_map, min_share)
    return tuple(part for _, part in parts)


def strongest_region(localization_map: np.ndarray) -> float:
    """The highest mean over a region of a map, what is above 0.5 of it, in [0, 1]; 0 where nothing is.

    Args:
        localization_map: (H, W) float in [0, 1].
    """
    regions = find_regions(localization_map > 0.5, localization_map)
    return max((region.mean_score for region in regions), default=0.0)


def _parts(
    pred_mask: np.ndarray, localization_map: np.ndarray, min_share: float = MIN_REGION_SHARE
) -> tuple[np.ndarray, list[tuple[int, Region]]]:
    """The part that each pixel lies in, (H, W) int32, and the parts that are regions under their numbers."""
    count, labels, stats, _ = cv2.connectedComponentsWithStats(pred_mask.astype(np.uint8), connectivity=8)
    areas = stats[1:, cv2.CC_STAT_AREA]  # part 0 is the background
    if areas.size == 0:
        return labels, []
    kept = 1 + np.flatnonzero(areas >= min(min_share * pred_mask.size, areas.max()))
    rank = np.zeros(count, np.intp)
    rank[kept] = np.arange(1, len(kept) + 1)
    sums = np.zeros(len(kept) + 1)
    for top in range(0, len(labels), 256):  # in bands: bincount works on 8-byte copies
        rows = slice(top, top + 256)
        sums += np.bincount(rank[labels[rows]].ravel(), localization_map[rows].ravel(), len(sums))
    order = np.argsort(-sums[1:], kind="stable")  # a sum is area times mean
    regions = []
    for i in order:
        x, y, width, height, area = stats[kept[i]].tolist()
        region = Region(box=(x, y, width, height), area=area, mean_score=min(1.0, float(sums[1 + i]) / area))
        regions.append((int(kept[i]), region))
    return labels, regions


def _levels(localization_map: np.ndarray) -> np.ndarray:
    """A map as 16-bit levels, halves rounded down: what is above 0.5 here, and nothing else, is so when read back."""
    return np.abs(np.ceil(localization_map * np.float32(65535) - np.float32(0.5))).astype(np.uint16)
