"""What a comparison found, in numbers."""

from typing import Literal

from pydantic import BaseModel, ConfigDict

from vilaco.result import Region


class ComparisonRow(BaseModel):
    """What `vilaco compare --json` prints.

    Attributes:
        suspect: Path as given.
        original: Likewise.
        width: Of the suspect, upright, in pixels.
        height: Likewise.
        notes: What of the files was looked at, where that is not all they store.
        related: Whether the one is seen in the other at all; all that follows is ``None`` or empty if not.
        same_pixels: Whether every pixel that both have is the same, as they lie.
        matrix: Takes x, y of the suspect to the original, upright pixels: two rows of three.
        scale: Length in the suspect of what is 1 long in the original.
        rotation: Degrees by which the suspect was turned, clockwise as seen.
        mirrored: Whether it was mirrored.
        seen: Share of the original that the suspect shows, in [0, 1].
        covered: Share of the suspect that the original explains.
        greyed: Whether its colours were taken away.
        brightness: Mean change by the curves, in grey levels.
        blur: Standard deviation in pixels of the blur that explains most.
        jpeg_quality: Of the suspect's own tables where it is a JPEG, else of the save that its pixels show.
        jpeg_seen_in: ``"tables"`` or ``"pixels"``, where there is a quality.
        difference: Median difference that is left, in grey levels.
        regions: What is not explained, the largest first; ``mean_score`` is the strength in [0, 1].
        matches: Keypoints that agree.
        seconds: That it took.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    suspect: str
    original: str
    width: int
    height: int
    notes: tuple[str, ...] = ()
    related: bool
    same_pixels: bool = False
    matrix: tuple[tuple[float, ...], ...] | None = None
    scale: float | None = None
    rotation: float | None = None
    mirrored: bool | None = None
    seen: float | None = None
    covered: float | None = None
    greyed: bool | None = None
    brightness: float | None = None
    blur: float | None = None
    jpeg_quality: int | None = None
    jpeg_seen_in: Literal["tables", "pixels"] | None = None
    difference: float | None = None
    regions: tuple[Region, ...] = ()
    matches: int = 0
    seconds: float
