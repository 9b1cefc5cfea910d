"""One judged photo with everything that a report shows of it, and nothing larger."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Self

from pydantic import BaseModel, ConfigDict, Field

from vilaco import __version__
from vilaco.evidence import Evidence, read_evidence
from vilaco.evidence.text import plain
from vilaco.images import Photo
from vilaco.localizer import Localizer
from vilaco.report.views import Views, draw_views
from vilaco.result import Result, ResultRow


class Judge(BaseModel):
    """What judged, as far as a reader has to know it.

    Attributes:
        name: The model's.
        fingerprint: SHA-256 of the trained weights.
        encoder: The frozen encoder that its numbers were measured with.
        version: Of vilaco.
        max_false_alarms: Share of authentic photos that may be called tampered; ``None`` where the model is not
            calibrated.
        missed: Share of the forgeries it was calibrated on whose score is not suspicious; likewise.
        calibration_pictures: Authentic pictures that it was calibrated on; likewise.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    fingerprint: str
    encoder: str
    version: str = __version__
    max_false_alarms: float | None
    missed: float | None
    calibration_pictures: int | None

    @classmethod
    def of(cls, localizer: Localizer) -> Self:
        """The judge that a localizer is."""
        calibration = localizer.calibration
        return cls(
            name=localizer.name,
            fingerprint=localizer.fingerprint,
            encoder=localizer.encoder_name,
            max_false_alarms=localizer.max_false_alarms,
            missed=calibration and calibration.missed(localizer.thresholds.authentic),
            calibration_pictures=calibration and len(calibration.authentic_scores),
        )


class Case(BaseModel):
    """One photo, its verdict, its pictures and its file's evidence: about a megabyte, whatever the photo's size.

    Attributes:
        name: What to call the photo.
        row: The verdict and the regions; numbers are of the full photo.
        judge: Who says so.
        evidence: Of the file; ``None`` where pixels came without one.
        views: What is shown.
        made_at: When the case was built, with a time zone.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    row: ResultRow
    judge: Judge
    evidence: Evidence | None
    views: Views
    made_at: datetime = Field(default_factory=lambda: datetime.now(UTC))

    @classmethod
    def build(
        cls,
        photo: Photo,
        result: Result,
        judge: Judge,
        *,
        source: str | Path | bytes | None,
        name: str | Path | None = None,
        anchors: str | None = None,
    ) -> Self:
        """Gather what a report shows of one photo; the photo and the result can be let go then.

        Args:
            photo: The photo as loaded.
            result: Of that photo.
            judge: What judged it.
            source: The file, or its bytes; ``None`` for pixels without a file.
            name: What to call it; by default the file's name, without its folders.
            anchors: PEM certificates of trusted signers of content credentials.

        Raises:
            ImageError: If the file is no longer there.
        """
        return cls(
            name=plain(str(name if name is not None else Path(photo.source).name)),
            row=result.to_row(),
            judge=judge,
            evidence=None if source is None else read_evidence(source, photo, anchors=anchors),
            views=draw_views(photo, result),
        )
