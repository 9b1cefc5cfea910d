"""What a search for reuse leaves for people and programs: pairs, groups of copies, the page, and reports of pairs."""

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import BaseModel, ConfigDict
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from vilaco.errors import ImageError
from vilaco.files import write_atomically
from vilaco.images import load_photo
from vilaco.reuse.check import PairRow, pair_name
from vilaco.reuse.describe import PictureRow, ReuseSettings
from vilaco.reuse.finding import RECURRING, Finding, Kind, Origin, SharedRegion, Strength, rank
from vilaco.reuse.pages import render_pair, render_summary
from vilaco.reuse.store import PairStore
from vilaco.scan.rows import read_parts
from vilaco.scan.sources import Item, read_bytes

PAIRS, PAIRS_TABLE, GROUPS, SUMMARY, REPORTS = "pairs.jsonl", "pairs.parquet", "groups.json", "summary.html", "reports"
Box = tuple[int, int, int, int]
SHOWN = 100
"""Pairs on the page, the surest first; each has a report."""
_TABLE = pa.schema(
    [(name, pa.string()) for name in ("id", "first", "second", "kind", "strength", "origin")]
    + [("same_file", pa.bool_()), ("mirrored", pa.bool_()), ("scale", pa.float64()), ("rotation", pa.float64())]
    + [("matches", pa.int32()), ("area", pa.int64()), ("correlation", pa.float64()), ("fine_correlation", pa.float64())]
    + [("first_box", pa.list_(pa.int32())), ("second_box", pa.list_(pa.int32())), ("regions", pa.string())]
)


class Pair(BaseModel):
    """Two pictures that have something in common.

    Attributes:
        id: Names the pair; the same whenever the pictures are called the same.
        first: Path of the one picture.
        second: Of the other; the same for a repeat within one picture.
        kind: Copy, shared region, or repeat.
        strength: Of the surest region.
        origin: Likewise.
        same_file: Whether both files have the same bytes; there are no regions then.
        regions: The surest first.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: str
    first: str
    second: str
    kind: Kind
    strength: Strength
    origin: Origin
    same_file: bool = False
    regions: tuple[SharedRegion, ...] = ()


def write_results(
    out: Path,
    rows: Mapping[str, PictureRow],
    items: Mapping[str, Item],
    roles: tuple[set[str], set[str]],
    wanted: Iterable[str],
    settings: ReuseSettings,
    *,
    pdf: bool,
) -> tuple[list[Pair], list[list[str]]]:
    """Write all results anew.

    Args:
        out: Folder of the search.
        rows: Of the pictures listed, by path.
        items: Where they are.
        roles: Paths that are searched for, and paths that they are searched in.
        wanted: Names of the pairs that were to be looked at.
        settings: Of the search.
        pdf: Write the reports as PDFs too.

    Returns:
        The pairs, the surest first, and the groups of copies, the largest first.
    """
    pairs = find_pairs(out, rows, roles, wanted)
    groups = copy_groups(pairs)
    write_atomically(out / PAIRS, "".join(pair.model_dump_json() + "\n" for pair in pairs).encode())
    buffer = pa.BufferOutputStream()
    pq.write_table(pa.Table.from_pylist([_record(pair) for pair in pairs], _TABLE), buffer)
    write_atomically(out / PAIRS_TABLE, buffer.getvalue().to_pybytes())
    write_atomically(out / GROUPS, json.dumps(groups, indent=1).encode() + b"\n")
    picture = _reader(items, settings)
    shown = pairs[:SHOWN]
    for pair in shown:
        _write_report(out, pair, rows, picture, pdf=pdf)
    page = render_summary(shown, len(pairs), groups, rows, roles, picture)
    write_atomically(out / SUMMARY, page.encode())
    keep = {pair.id for pair in shown}
    for old in (out / REPORTS).glob("*"):
        if old.stem not in keep:
            old.unlink()
    return pairs, groups


def find_pairs(
    out: Path, rows: Mapping[str, PictureRow], roles: tuple[set[str], set[str]], wanted: Iterable[str]
) -> list[Pair]:
    """All pairs with something in common, the surest first."""
    names = set(wanted)
    found = []
    for row in read_parts(out / "checked", PairStore.schema, *PairStore.schema.names).to_pylist():
        checked = PairRow.model_validate(row)
        if checked.path in names and checked.finding is not None:
            found.append(_pair(checked.first, checked.second, Finding.model_validate_json(checked.finding)))
    by_digest: dict[str, list[str]] = {}
    for path, described in rows.items():
        if described.repeats is not None and path in roles[0]:
            found.append(_pair(path, path, Finding.model_validate_json(described.repeats)))
        if described.sha256 is not None:
            by_digest.setdefault(described.sha256, []).append(path)
    for same in by_digest.values():
        found += _same_files(same, roles)
    return sorted(weigh_recurring(found), key=lambda pair: (*_rank(pair), pair.first, pair.second))


def weigh_recurring(pairs: Sequence[Pair]) -> list[Pair]:
    """Count in how many pictures each shared region lies; what lies in many is a logo or a header, and not strong.

    A region lies in another picture as well if a region shared with that one covers at least half of its box. Copies of
    one picture count once, for a film and a frame of it are no reason to doubt.

    Args:
        pairs: All that were found.

    Returns:
        The same pairs in the same order, with the counts.
    """
    originals = {path: group[0] for group in copy_groups(pairs) for path in group}
    places: dict[str, list[tuple[Box, str]]] = {}
    shared = [pair for pair in pairs if pair.kind == "shared region"]
    for pair in shared:
        for region in pair.regions:
            places.setdefault(pair.first, []).append((region.first.box, originals.get(pair.second, pair.second)))
            places.setdefault(pair.second, []).append((region.second.box, originals.get(pair.first, pair.first)))

    def weighed(pair: Pair, region: SharedRegion) -> SharedRegion:
        sides = ((pair.first, region.first.box), (pair.second, region.second.box))
        counts = (len({other for place, other in places[path] if _covers(place, box)}) + 1 for path, box in sides)
        recurs = max(counts)
        strength = "moderate" if recurs >= RECURRING and region.strength == "strong" else region.strength
        return region.model_copy(update={"recurs": recurs, "strength": strength})

    def recounted(pair: Pair) -> Pair:
        regions = sorted((weighed(pair, region) for region in pair.regions), key=rank)
        best = {"strength": regions[0].strength, "origin": regions[0].origin}
        return pair.model_copy(update={"regions": tuple(regions), **best})

    return [recounted(pair) if pair.kind == "shared region" else pair for pair in pairs]


def _covers(place: Box, box: Box) -> bool:
    """Whether a box covers at least half of another."""
    width = min(place[0] + place[2], box[0] + box[2]) - max(place[0], box[0])
    height = min(place[1] + place[3], box[1] + box[3]) - max(place[1], box[1])
    return 2 * max(0, width) * max(0, height) >= box[2] * box[3]


def copy_groups(pairs: Iterable[Pair]) -> list[list[str]]:
    """Pictures that are copies of each other, or of copies; the largest group first.

    Example:
        >>> same = {"kind": "copy", "strength": "strong", "origin": "same pixels"}
        >>> copy_groups([Pair(id="", first="a", second="b", **same), Pair(id="", first="c", second="b", **same)])
        [['a', 'b', 'c']]
    """
    edges = [pair for pair in pairs if pair.kind == "copy" and pair.strength != "weak"]
    paths = sorted({path for pair in edges for path in (pair.first, pair.second)})
    number = {path: index for index, path in enumerate(paths)}
    ends = [[number[pair.first] for pair in edges], [number[pair.second] for pair in edges]]
    graph = coo_array((np.ones(len(edges)), ends), shape=(len(paths), len(paths)))
    count, labels = connected_components(graph, directed=False) if paths else (0, [])
    groups: list[list[str]] = [[] for _ in range(count)]
    for path, label in zip(paths, labels, strict=True):
        groups[label].append(path)
    return sorted(groups, key=lambda group: (-len(group), group))


def pair_id(first: str, second: str) -> str:
    """Twelve hexadecimal digits that name a pair."""
    return hashlib.sha256(pair_name(first, second).encode()).hexdigest()[:12]


def _pair(first: str, second: str, finding: Finding) -> Pair:
    best = finding.best
    return Pair(
        id=pair_id(first, second),
        first=first,
        second=second,
        kind=finding.kind,
        strength=best.strength,
        origin=best.origin,
        regions=finding.regions,
    )


def _same_files(paths: list[str], roles: tuple[set[str], set[str]]) -> Iterable[Pair]:
    """Each of the identical files that is searched for, with the first that it is searched in."""
    for path in paths:
        others = [other for other in paths if other != path and other in roles[1]]
        if path not in roles[0] or not others or (others[0] > path and others[0] in roles[0] and path in roles[1]):
            continue  # the later of two names the pair
        first, second = sorted((path, others[0]))
        identity = pair_id(first, second)
        yield Pair(
            id=identity,
            first=first,
            second=second,
            kind="copy",
            strength="strong",
            origin="same pixels",
            same_file=True,
        )


def _rank(pair: Pair) -> tuple[int, int, float]:
    return (0, -1, 0.0) if pair.same_file else rank(pair.regions[0])


def _record(pair: Pair) -> dict[str, object]:
    best = pair.regions[0] if pair.regions else None
    return {
        **pair.model_dump(exclude={"regions"}),
        **({} if best is None else best.model_dump(include={name for name in _TABLE.names if name in _NUMBERS})),
        "first_box": None if best is None else best.first.box,
        "second_box": None if best is None else best.second.box,
        "regions": json.dumps([region.model_dump() for region in pair.regions]),
    }


_NUMBERS = {"mirrored", "scale", "rotation", "matches", "area", "correlation", "fine_correlation"}


def _reader(items: Mapping[str, Item], settings: ReuseSettings) -> Callable[[str], np.ndarray | None]:
    """Gives the upright pixels of a picture, or ``None`` where it has gone."""

    def read(path: str) -> np.ndarray | None:
        try:
            data = read_bytes(items[path], max_bytes=settings.max_bytes)
            photo = load_photo(data, max_pixels=settings.max_pixels)
        except ImageError:
            return None
        return photo.upright(photo.pixels)

    return read


def _write_report(
    out: Path,
    pair: Pair,
    rows: Mapping[str, PictureRow],
    picture: Callable[[str], np.ndarray | None],
    *,
    pdf: bool,
) -> None:
    file = out / REPORTS / f"{pair.id}.html"
    write_atomically(file, render_pair(pair, rows, picture, interactive=True).encode())
    if pdf:
        from vilaco.report.pdf import to_pdf

        write_atomically(file.with_suffix(".pdf"), to_pdf(render_pair(pair, rows, picture, interactive=False)))
