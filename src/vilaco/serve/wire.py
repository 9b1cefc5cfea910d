"""The JSON that the API speaks; `Problem` has its own file."""

from datetime import datetime
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from vilaco.compare.row import ComparisonRow
from vilaco.evidence import Evidence
from vilaco.report.words import Words
from vilaco.result import Region, ResultRow
from vilaco.serve.problems import Problem

State = Literal["waiting", "judging", "done", "failed"]


class _Wire(BaseModel):
    model_config = ConfigDict(frozen=True, ser_json_bytes="base64", val_json_bytes="base64")


class PhotoAnswer(_Wire):
    """One photo of a job.

    Attributes:
        id: Names the photo under ``/v1/photos/``; who knows it can see the photo.
        name: As the caller gave it, without control characters.
        sha256: Of the file.
        state: ``result`` is there when done, ``problem`` when failed.
        result: As ``vilaco detect --json`` prints it; ``path`` is the name.
        words: The verdict in words, and what it does not mean.
        evidence: What the file says about itself.
        hints: What in it is worth a look, a few words each.
        problem: Why it could not be judged.
    """

    id: str
    name: str
    sha256: str
    state: State
    result: ResultRow | None = None
    words: Words | None = None
    evidence: Evidence | None = None
    hints: tuple[str, ...] = ()
    problem: Problem | None = None


class ComparisonAnswer(_Wire):
    """A suspect beside its original.

    Attributes:
        id: Names the comparison under ``/v1/comparisons/``; who knows it can see both photos.
        suspect: Name of the file in question as the caller gave it, without control characters.
        original: Likewise of the other.
        state: ``result`` is there when done, ``problem`` when failed.
        result: As ``vilaco compare --json`` prints it; its paths are the names.
        words: The same in words, and what it does not mean.
        problem: Why they could not be compared.
    """

    id: str
    suspect: str
    original: str
    state: State
    result: ComparisonRow | None = None
    words: Words | None = None
    problem: Problem | None = None


class JobAnswer(_Wire):
    """Photos sent together, and how far they are.

    Attributes:
        id: Names the job under ``/v1/jobs/``.
        state: ``"done"`` when nothing more will happen, failures included.
        finished: Photos or comparisons done or failed.
        total: Of these, sent.
        expires_at: When photos and results are deleted, in UTC; not known before the job is done.
        photos: To be judged, in the order sent.
        comparisons: A suspect beside its original, where that is what was sent.
    """

    id: str
    state: Literal["running", "done"]
    finished: int
    total: int
    expires_at: datetime | None
    photos: tuple[PhotoAnswer, ...]
    comparisons: tuple[ComparisonAnswer, ...] = ()


class RegionsAnswer(_Wire):
    """Regions of one photo at a threshold of the caller's choice, most important first."""

    threshold: float = Field(ge=0, le=1)
    regions: tuple[Region, ...]


class AboutAnswer(_Wire):
    """What the page needs to know before the first photo.

    Attributes:
        version: Of vilaco.
        model: Name and hash, as in results.
        max_false_alarms: Share of authentic photos that may be called tampered; ``None`` where the model is not
            calibrated and nothing is promised.
        missed: Share of the forgeries it was calibrated on whose score is not suspicious; likewise.
        max_body: Bytes of a request.
        max_pixels: Of a picture.
        max_photos: In a request.
        keep_minutes: How long photos and results are kept.
    """

    version: str
    model: str
    max_false_alarms: float | None
    missed: float | None
    max_body: int
    max_pixels: int
    max_photos: int
    keep_minutes: float


class HealthAnswer(_Wire):
    """The service answers, and photos are being judged."""

    status: Literal["ok"] = "ok"
