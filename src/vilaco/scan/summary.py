"""A scan as one HTML page that needs nothing beside it: what was said, what to look at first, what failed."""

import base64
import hashlib
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.resources import files
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

from vilaco.names import one_line
from vilaco.scan.judge import ScanSettings
from vilaco.scan.store import read_rows
from vilaco.similar import MAX_DISTANCE, similar_groups

MOST_SUSPICIOUS = 50
SHOWN_GROUPS, SHOWN_OF_A_GROUP, NAMED_OF_A_GROUP = 20, 6, 100
NAMED_FAILURES = 5
BINS = 50
_CHART = (700.0, 150.0)  # of the histogram, in the SVG's own units


@dataclass(frozen=True)
class Shown:
    """One picture of the page.

    Attributes:
        path: In the scan.
        verdict: What was said.
        score: Detection score.
        regions: How many.
        picture: JPEG as a data URI, or ``None`` where the file has gone.
    """

    path: str
    verdict: str
    score: float
    regions: int
    picture: str | None


@dataclass(frozen=True)
class Group:
    """Pictures that look the same.

    Attributes:
        count: How many.
        verdicts: How often each was said of them, most often first.
        shown: The first few.
        paths: The first `NAMED_OF_A_GROUP`.
    """

    count: int
    verdicts: dict[str, int]
    shown: list[Shown]
    paths: list[str]


@dataclass(frozen=True)
class Failure:
    """One reason why images could not be judged.

    Attributes:
        code: The word for it.
        count: How many.
        examples: Path and reason of the first few.
    """

    code: str
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
    overlays: Callable[[Sequence[str]], dict[str, bytes]],
    thumbnail: Callable[[str], bytes | None],
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
        folder, "path", "verdict", "detection_score", "region_count", "overlay", "perceptual_hash", "seconds",
        "error_code", "error_reason",
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
    folder: Path, judged: pa.Table, overlays: Callable[[Sequence[str]], dict[str, bytes]]
) -> list[Shown]:
    order = [("detection_score", "descending"), ("path", "ascending")]
    top = judged.take(pc.sort_indices(judged, order)[:MOST_SUSPICIOUS]).to_pylist()
    pictures = overlays([row["path"] for row in top if row["overlay"] is None])
    for row in top:
        if row["overlay"] is not None and (folder / row["overlay"]).is_file():
            pictures[row["path"]] = (folder / row["overlay"]).read_bytes()
    return [_shown(row, pictures.get(row["path"])) for row in top]


def _groups(judged: pa.Table, thumbnail: Callable[[str], bytes | None]) -> list[Group]:
    """All groups; pictures only of those that the page shows."""
    groups = []
    for number, members in enumerate(similar_groups(judged["perceptual_hash"].to_pylist())):
        rows = judged.take(members).to_pylist() if number < SHOWN_GROUPS else []
        groups.append(
            Group(
                count=len(members),
                verdicts=dict(Counter(row["verdict"] for row in rows).most_common()),
                shown=[_shown(row, thumbnail(row["path"])) for row in rows[:SHOWN_OF_A_GROUP]],
                paths=[row["path"] for row in rows[:NAMED_OF_A_GROUP]],
            )
        )
    return groups


def _failures(failed: pa.Table) -> list[Failure]:
    examples: dict[str, list[tuple[str, str]]] = {}
    for row in failed.select(["path", "error_code", "error_reason"]).to_pylist():
        examples.setdefault(row["error_code"], []).append((row["path"], row["error_reason"]))
    found = [Failure(code, len(all_), all_[:NAMED_FAILURES]) for code, all_ in examples.items()]
    return sorted(found, key=lambda failure: failure.count, reverse=True)


def _shown(row: dict[str, object], picture: bytes | None) -> Shown:
    uri = None if picture is None else f"data:image/jpeg;base64,{base64.b64encode(picture).decode()}"
    return Shown(row["path"], row["verdict"], row["detection_score"], row["region_count"], uri)  # type: ignore[arg-type]
