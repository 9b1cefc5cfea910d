"""What an evaluation leaves behind: every figure beside everything that it depends on, as JSON and CSV."""

import csv
import io
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, model_validator

from vilaco.files import write_atomically
from vilaco.names import Text
from vilaco.notes import Noted

Number = Annotated[float, BeforeValidator(lambda value: math.nan if value is None else value)]
"""A float whose NaN is written as JSON ``null`` and read back as NaN."""


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", ser_json_inf_nan="null")


class Provenance(_Frozen):
    """Where the predictions came from; a figure means nothing without it.

    Attributes:
        encoder: Name of the vision-language encoder, where there is one.
        weights: Hash of the weights.
        image_score: How a map became a detection score.
        training_seed: Seed the model was trained with.
    """

    encoder: str | None = None
    weights: str | None = None
    image_score: str = "the method's own"
    training_seed: int | None = None


class Figure(_Frozen):
    """One metric's value.

    Attributes:
        value: NaN where undefined.
        low: Lower end of the bootstrap 95% interval over images.
        high: Upper end.
        images: How many images it rests on.
        undefined: How many more of the profile's population had no value and were left out.
    """

    name: str
    value: Number
    low: Number
    high: Number
    images: int
    undefined: int
    headline: bool


class ProfileResult(_Frozen):
    """One profile's figures with its definition spelled out."""

    profile: str
    source: str
    resolution: str
    mask_binarisation: str
    threshold: float
    pixel_images: Literal["tampered", "all"]
    figures: tuple[Figure, ...]

    def __getitem__(self, name: str) -> Figure:
        """The figure of a name."""
        for figure in self.figures:
            if figure.name == name:
                return figure
        raise KeyError(f"profile {self.profile} has no figure {name}; it has {[f.name for f in self.figures]}")


class Problem(_Frozen):
    """Something about one image that a reader of the figures should know."""

    path: Text
    reason: str
    detail: Text


class ImageRow(_Frozen):
    """One evaluated image; pixel figures are NaN for authentic images and without a usable mask."""

    path: Text
    label: Literal[0, 1]
    group: Text | None
    detection_score: float
    pixel_f1: Number
    pixel_iou: Number
    pixel_auc: Number


class PixelCurve(_Frozen):
    """Pooled counts of all tampered images' pixels at 257 rising thresholds, for the ROC and PR plots."""

    tp: tuple[float, ...]
    fp: tuple[float, ...]
    positives: float
    negatives: float


class EvaluationReport(_Frozen):
    """A whole evaluation.

    Attributes:
        method: Name of the method judged.
        data: Name of the data set.
        preprocessing: What was done to each photo before the method saw it.
        mask_policy: What became of masks of the wrong size.
        seed: Of the bootstrap.
        resamples: Of the bootstrap.
        files_hash: SHA-256 of the list of all records (relative path and label), independent of where the
            data lies.
        records: Images of the data set; ``authentic + tampered`` evaluated and ``skipped`` ones add up to it.
        skipped: Images that were not evaluated at all, by reason.
        pixel_images: Tampered images with a usable mask; with ``pixel_skipped`` they add up to ``tampered``.
        pixel_skipped: Tampered images judged by their score alone, by reason.
        adjusted: Images evaluated after a correction, by kind, such as a map resized to its image.
        problems: Each skip and mask correction by name.
        noted: Images that were read otherwise than their files store them; ``None`` where there is none.
    """

    method: Text
    data: Text
    vilaco_version: str
    provenance: Provenance
    preprocessing: str
    mask_policy: Literal["skip", "resize", "fail"]
    seed: int
    resamples: int
    files_hash: str
    records: int
    authentic: int
    tampered: int
    skipped: dict[str, int]
    pixel_images: int
    pixel_skipped: dict[str, int]
    adjusted: dict[str, int]
    profiles: tuple[ProfileResult, ...]
    pixel_curve: PixelCurve
    images: tuple[ImageRow, ...]
    problems: tuple[Problem, ...]
    noted: Noted | None = None

    @model_validator(mode="after")
    def _counts_add_up(self) -> "EvaluationReport":
        evaluated = self.authentic + self.tampered
        if evaluated + sum(self.skipped.values()) != self.records or evaluated != len(self.images):
            raise ValueError("evaluated and skipped images do not add up to the records.")
        if self.pixel_images + sum(self.pixel_skipped.values()) != self.tampered:
            raise ValueError("measured and skipped masks do not add up to the tampered images.")
        return self

    def __getitem__(self, profile: str) -> ProfileResult:
        """The result of a profile by its name."""
        for result in self.profiles:
            if result.profile == profile:
                return result
        raise KeyError(f"profile {profile} was not evaluated; there are {[p.profile for p in self.profiles]}")

    def save(self, folder: Path) -> list[Path]:
        """Write ``evaluation.json`` (all), ``metrics.csv`` (a row a figure), ``images.csv`` (a row an image).

        Returns:
            The files written.
        """
        written = {
            folder / "evaluation.json": self.model_dump_json(indent=1) + "\n",
            folder / "metrics.csv": self.metrics_csv(),
            folder / "images.csv": to_csv(list(ImageRow.model_fields), [row.model_dump() for row in self.images]),
        }
        for path, text in written.items():
            write_atomically(path, text.encode())
        return list(written)

    def metrics_csv(self) -> str:
        """A row a figure, each complete in itself, so that files of several runs can be joined."""
        shared = {
            "method": self.method,
            "data": self.data,
            "preprocessing": self.preprocessing,
            "records": self.records,
            "authentic": self.authentic,
            "tampered": self.tampered,
            "skipped": sum(self.skipped.values()),
            "pixel_skipped": sum(self.pixel_skipped.values()),
            "mask_policy": self.mask_policy,
            **self.provenance.model_dump(),
            "seed": self.seed,
            "resamples": self.resamples,
            "vilaco_version": self.vilaco_version,
            "files_hash": self.files_hash,
        }
        rows = []
        for result in self.profiles:
            definition = result.model_dump(exclude={"figures"})
            for figure in result.figures:
                rows.append({**shared, **definition, **figure.model_dump(exclude={"headline"})})
        return to_csv(list(rows[0]) if rows else list(shared), rows)


def to_csv(columns: Sequence[str], rows: Sequence[dict]) -> str:
    r"""Rows as CSV; undefined values are empty cells.

    Example:
        >>> to_csv(["a", "b"], [{"a": 1, "b": math.nan}])
        'a,b\n1,\n'
    """
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writeheader()
    for row in rows:
        writer.writerow({key: "" if value is None or value != value else value for key, value in row.items()})
    return text.getvalue()
