"""A scan as one HTML page that needs nothing beside it: what was said, what to look at first, what failed."""

import base64
import hashlib
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

from vilaco.decoding import kind_of_note
from vilaco.evidence.credentials import Credentials
from vilaco.names import one_line
from vilaco.scan.judge import ScanSettings
from vilaco.scan.store import read_rows
from vilaco.similar import MAX_DISTANCE, similar_groups

MOST_SUSPICIOUS = 50
SHOWN_GROUPS, SHOWN_OF_A_GROUP, NAMED_OF_A_GROUP = 20, 6, 100
NAMED_OF_A_KIND = 5
BINS = 50
_CHART = (700.0, 150.0)  # of the histogram, in the SVG's own units

Picture = tuple[str, int]
"""Path in the scan, and page."""


@dataclass(frozen=True)
class Shown:
    """One picture of the page.

    Attributes:
        name: Path in the scan; the page too, where the file has several.
        verdict: What was said.
        score: Detection score.
        regions: How many.
        notes: How what was judged differs from what the file stores.
        picture: JPEG as a data URI, or ``None`` where the file has gone.
    """

    name: str
    verdict: str
    score: float
    regions: int
    notes: list[str]
    picture: str | None


@dataclass(frozen=True)
class Group:
    """Pictures that look the same.

    Attributes:
        count: How many.
        verdicts: How often each was said of them, most often first.
        shown: The first few.
        names: Of the first `NAMED_OF_A_GROUP`.
    """

    count: int
    verdicts: dict[str, int]
    shown: list[Shown]
    names: list[str]


@dataclass(frozen=True)
class Kind:
    """What is to be said of several images: why they could not be judged, a kind of note, a state of credentials.

    Attributes:
        what: The word or words for it.
        count: Of how many.
        examples: Name of the first `NAMED_OF_A_KIND`, and what is said of it in full.
    """

    what: str
    count: int
    examples: list[tuple[str, str]]


@dataclass(frozen=True)
class Bar:
    """One bar of the histogram, in the SVG's units, and what a pointer over it is told."""

    x: float
    y: float
    width: float
    height: float
    verdict: str
    title: str


def summary_page(
    folder: Path,
    settings: ScanSettings,
    *,
    overlays: Callable[[Sequence[Picture]], dict[Picture, bytes]],
    thumbnail: Callable[[Picture], bytes | None],
) -> str:
    """Draw the page.

    Args:
        folder: Of the scan; all rows are in parts.
        settings: Of the scan.
        overlays: Gives JPEGs of images whose overlay was not kept, as far as they are to be had.
        thumbnail: Gives a small JPEG of an image, or ``None``.

    Returns:
        HTML with style and pictures inside, without script; its own content policy forbids everything else.
    """
    rows = read_rows(
        folder, "path", "page", "pages", "verdict", "detection_score", "region_count", "overlay", "perceptual_hash",
        "notes", "credentials", "seconds", "error_code", "error_reason",
    )  # fmt: skip
    judged = rows.filter(pc.is_valid(rows["verdict"]))
    template, style = (files("vilaco.scan").joinpath(name).read_text() for name in ("summary.jinja", "summary.css"))
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters["one_line"] = one_line
    scores = judged["detection_score"].to_numpy()
    return environment.from_string(template).render(
        settings=settings,
        style=Markup(style),
        style_hash=base64.b64encode(hashlib.sha256(style.encode()).digest()).decode(),
        made=f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC",
        images=len(rows),
        counts=Counter(judged["verdict"].to_pylist()),
        failed=len(rows) - len(judged),
        seconds=pc.sum(rows["seconds"]).as_py() or 0.0,
        bars=histogram(scores, settings),
        highest=int(np.histogram(scores, BINS, (0, 1))[0].max()),
        chart=_CHART,
        suspicious=_most_suspicious(folder, judged, overlays),
        groups=_groups(judged, thumbnail),
        shown_groups=SHOWN_GROUPS,
        max_distance=MAX_DISTANCE,
        failures=_failures(rows.filter(pc.is_valid(rows["error_code"]))),
        notes=_notes(judged.filter(pc.greater(pc.list_value_length(judged["notes"]), 0))),
        credentials=_credentials(rows.filter(pc.is_valid(rows["credentials"]))),
    )


def histogram(scores: np.ndarray, settings: ScanSettings) -> list[Bar]:
    """Bars of `BINS` equal bins over [0, 1], those that are empty left out.

    Example:
        >>> settings = ScanSettings(source="", model="", model_fingerprint="", decision_threshold=0.5,
        ...     authentic_threshold=0.5, max_false_alarms=None, keep_above=0.5, max_pixels=1)
        >>> [bar.title for bar in histogram(np.array([0.01, 0.91, 0.91]), settings)]
        ['0.00 to 0.02: 1', '0.90 to 0.92: 2']
    """
    counts, edges = np.histogram(scores, BINS, (0, 1))
    width, height = _CHART
    bars = []
    for count, low, high in zip(counts, edges[:-1], edges[1:], strict=True):
        if count:
            tall = max(1.0, height * count / counts.max())
            middle = (low + high) / 2
            verdict = "tampered" if middle > settings.decision_threshold else "cannot tell"
            verdict = "nothing found" if middle <= settings.authentic_threshold else verdict
            title = f"{low:.2f} to {high:.2f}: {count:,}"
            bars.append(Bar(low * width, height - tall, width / BINS - 2, tall, verdict.replace(" ", "-"), title))
    return bars


def _most_suspicious(
    folder: Path, judged: pa.Table, overlays: Callable[[Sequence[Picture]], dict[Picture, bytes]]
) -> list[Shown]:
    order = [("detection_score", "descending"), ("path", "ascending"), ("page", "ascending")]
    top = judged.take(pc.sort_indices(judged, order)[:MOST_SUSPICIOUS]).to_pylist()
    pictures = overlays([_picture(row) for row in top if row["overlay"] is None])
    for row in top:
        if row["overlay"] is not None and (folder / row["overlay"]).is_file():
            pictures[_picture(row)] = (folder / row["overlay"]).read_bytes()
    return [_shown(row, pictures.get(_picture(row))) for row in top]


def _groups(judged: pa.Table, thumbnail: Callable[[Picture], bytes | None]) -> list[Group]:
    """All groups; pictures only of those that the page shows."""
    groups = []
    for number, members in enumerate(similar_groups(judged["perceptual_hash"].to_pylist())):
        rows = judged.take(members).to_pylist() if number < SHOWN_GROUPS else []
        groups.append(
            Group(
                count=len(members),
                verdicts=dict(Counter(row["verdict"] for row in rows).most_common()),
                shown=[_shown(row, thumbnail(_picture(row))) for row in rows[:SHOWN_OF_A_GROUP]],
                names=[_name(row) for row in rows[:NAMED_OF_A_GROUP]],
            )
        )
    return groups


def _failures(failed: pa.Table) -> list[Kind]:
    rows = failed.select(["path", "page", "pages", "error_code", "error_reason"]).to_pylist()
    return _kinds((row["error_code"], _name(row), row["error_reason"]) for row in rows)


def _notes(noted: pa.Table) -> list[Kind]:
    rows = noted.select(["path", "page", "pages", "notes"]).to_pylist()
    return _kinds((kind_of_note(note), _name(row), note) for row in rows for note in row["notes"])


def _credentials(known: pa.Table) -> list[Kind]:
    """States of the content credentials that files have, or might have."""
    rows = known.select(["path", "page", "pages", "credentials"]).to_pylist()
    found = ((_name(row), Credentials.model_validate(row["credentials"])) for row in rows)
    return _kinds((each.in_words, name, each.signer or "") for name, each in found if each.status != "absent")


def _kinds(said: Iterable[tuple[str, str, str]]) -> list[Kind]:
    """What was said, an image's name, and the same in full; the most frequent first."""
    examples: dict[str, list[tuple[str, str]]] = {}
    for what, name, in_full in said:
        examples.setdefault(what, []).append((name, in_full))
    found = [Kind(what, len(all_), all_[:NAMED_OF_A_KIND]) for what, all_ in examples.items()]
    return sorted(found, key=lambda kind: kind.count, reverse=True)


def _picture(row: dict[str, Any]) -> Picture:
    return row["path"], row["page"]


def _name(row: dict[str, Any]) -> str:
    several = (row["pages"] or 1) > 1 and row["page"] is not None
    return f"{row['path']}, page {row['page']}" if several else row["path"]


def _shown(row: dict[str, Any], picture: bytes | None) -> Shown:
    uri = None if picture is None else f"data:image/jpeg;base64,{base64.b64encode(picture).decode()}"
    return Shown(
        name=_name(row),
        verdict=row["verdict"],
        score=row["detection_score"],
        regions=row["region_count"],
        notes=row["notes"],
        picture=uri,
    )
