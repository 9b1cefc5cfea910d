"""Search a collection for reuse: describe what is new, look it up, lay candidates over each other, and sum up."""

import os
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from itertools import combinations, pairwise, product
from pathlib import Path
from typing import Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict

from vilaco.errors import DataError
from vilaco.files import TEMPORARY
from vilaco.images import MAX_PIXELS
from vilaco.names import as_text
from vilaco.reuse.check import Check, CheckSettings, Side, features_file, pair_item, pair_name
from vilaco.reuse.describe import Describe, PictureRow, ReuseSettings
from vilaco.reuse.features import Features, canonical
from vilaco.reuse.index import CHUNK, SAMPLE, Index, lists_for
from vilaco.reuse.results import Pair, write_results
from vilaco.reuse.store import FEATURES, PairStore, PictureStore
from vilaco.scan.engine import Engine, start_engine
from vilaco.scan.pool import TIME_LIMIT
from vilaco.scan.rows import read_parts
from vilaco.scan.sources import Item, file_item, is_url, list_items, local_folder
from vilaco.similar import similar_groups

INDEX = "index.npz"
_SAME_FILES = 3  # identical files that are laid over others; what holds for these holds for all
_ALL_PAIRS = 6  # pictures that look alike, up to which every pair is looked at; of more, each and the next
Stage = Literal["describing", "looking up", "checking", "writing"]
Tell = Callable[[Stage, int, int, str | None, tuple[str, str] | None], None]
"""Called as ``tell(stage, done, total, path, problem)``; the problem is an error code and a reason."""


class ReuseReport(BaseModel):
    """How a search stands.

    Attributes:
        out: Its folder.
        pictures: In the sources.
        described: Of these.
        pairs: How many pairs have something in common, by strength.
        kinds: Likewise by kind.
        groups: Groups of copies.
        failures: Pictures that could not be read, by error code.
        interrupted: Whether Ctrl-C ended it; the same call goes on.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    out: Path
    pictures: int
    described: int
    pairs: dict[str, int]
    kinds: dict[str, int]
    groups: int
    failures: dict[str, int]
    interrupted: bool


def reuse(
    sources: Sequence[str | Path],
    out: str | Path,
    *,
    against: Sequence[str | Path] = (),
    max_pixels: int = MAX_PIXELS,
    engine: Engine = "local",
    workers: int | None = None,
    address: str | None = None,
    time_limit: float = TIME_LIMIT,
    retry_failed: bool = False,
    pdf: bool = False,
    tell: Tell = lambda stage, done, total, path, problem: None,
) -> ReuseReport:
    """Find the same pixels in different pictures; what a search into the same folder has done is not done again.

    Args:
        sources: Pictures, or what :func:`vilaco.scan.sources.list_items` takes; a picture is called by the source as
            given and its path inside.
        out: Folder of the results; its files: :mod:`vilaco.reuse.store`.
        against: Likewise, a known collection: then only pairs of a picture of ``sources`` and one of these count.
        max_pixels: Larger pictures are refused.
        engine: What describes pictures: ``"local"`` or ``"ray"``. Pairs are laid over each other on this machine.
        workers: How many pictures at a time, each on one thread; one a core if ``None``.
        address: Of the Ray cluster; ``None`` starts one on this machine.
        time_limit: Seconds a picture or a pair may take.
        retry_failed: Look again at pictures that could not be read before.
        pdf: Write the reports of pairs as PDFs too.
        tell: See `Tell`.

    Raises:
        ConfigError: If ``out`` holds a search with other settings, or a setting is wrong.
        DataError: If a source or ``out`` is not usable.
        VilacoError: If results cannot be written; the same call goes on once they can.
    """
    out = Path(out)
    new, known = _list(sources, out), _list(against, out)
    items = {item.path: item for item in (*known, *new)}
    settings = ReuseSettings(max_pixels=max_pixels)
    with ExitStack() as stack:
        pictures = stack.enter_context(PictureStore(out / "pictures", settings))
        pairs = stack.enter_context(PairStore(out / "checked", settings))
        for unfinished in out.rglob(TEMPORARY):  # results that a kill left half written
            unfinished.unlink()
        if retry_failed:
            pictures.forget_failures()
            pairs.forget_failures()
        interrupted = False
        try:
            _describe(pictures, items, settings, engine, workers, address, time_limit, tell)
            rows = _rows(out, items)
            index = _look_up(out, rows, tell)
            roles = ({item.path for item in new}, {item.path for item in known} or {item.path for item in new})
            wanted = _wanted(index, rows, items, roles)
            _check(out, pairs, wanted, settings, workers, time_limit, tell)
        except KeyboardInterrupt:
            interrupted = True
        pictures.flush()
        pairs.flush()
        rows = _rows(out, items)
        found: list[Pair] = []
        groups: list[list[str]] = []
        if not interrupted:
            tell("writing", 0, 1, None, None)
            found, groups = write_results(out, rows, items, roles, wanted, settings, pdf=pdf)
    return ReuseReport(
        out=out,
        pictures=len(items),
        described=len(rows),
        pairs=_counts(pair.strength for pair in found),
        kinds=_counts(pair.kind for pair in found),
        groups=len(groups),
        failures=_counts(row.error_code for row in rows.values() if row.error_code),
        interrupted=interrupted,
    )


def _list(sources: Sequence[str | Path], out: Path) -> list[Item]:
    """The pictures of all sources, each called by its source and its path inside."""
    items: dict[str, Item] = {}
    for given in map(str, sources):
        place = given if is_url(given) else os.path.abspath(given)
        if (folder := local_folder(place)) and out.resolve().is_relative_to(folder.resolve()):
            raise DataError(f"{out}: lies inside {given}; what a search writes must not be searched")
        if os.path.isfile(place) and not place.lower().endswith(".csv"):
            listed = [file_item(Path(place), as_text(given))]
        else:
            inside = os.path.isdir(place) or is_url(given)
            listed = [
                Item(f"{as_text(given).rstrip('/')}/{item.path}" if inside else item.path, item.location)
                for item in list_items(place)
            ]
        for item in listed:
            if items.setdefault(item.path, item).location != item.location:
                raise DataError(f"{given}: two files would both be called {item.path}; rename one")
    return list(items.values())


def _describe(
    store: PictureStore,
    items: dict[str, Item],
    settings: ReuseSettings,
    engine: Engine,
    workers: int | None,
    address: str | None,
    time_limit: float,
    tell: Tell,
) -> None:
    waiting = [item for item in items.values() if not store.is_done(item)]
    done = len(items) - len(waiting)
    tell("describing", done, len(items), None, None)
    if not waiting:
        return
    with start_engine(
        engine, Describe, settings, items=len(waiting), workers=workers, address=address, time_limit=time_limit
    ) as pool:
        for described in pool.work(waiting):
            row = store.add(described)
            done += 1
            problem = None if row.error_code is None else (row.error_code, row.error_reason or "")
            tell("describing", done, len(items), row.path, problem)
    store.flush()


def _rows(out: Path, items: dict[str, Item]) -> dict[str, PictureRow]:
    """The rows of the pictures listed, by path, in the order of their paths."""
    table = read_parts(out / "pictures", PictureStore.schema, *PictureStore.schema.names)
    rows = (PictureRow.model_validate(row) for row in table.to_pylist() if row["path"] in items)
    return {row.path: row for row in sorted(rows, key=lambda row: row.path)}


def _look_up(out: Path, rows: dict[str, PictureRow], tell: Tell) -> Index:
    """The index with all files in it, by their digests; new ones are added in the order of their paths."""
    folder, file = out / "pictures" / FEATURES, out / INDEX
    files = {row.sha256 or "": row for row in reversed(rows.values()) if row.error_code is None}
    index = Index.load(file) if file.exists() else None
    if index is not None and index.is_outgrown(sum(row.keypoints or 0 for row in files.values())):
        index = None
    known = {} if index is None else index.numbers
    waiting = [row for sha256, row in reversed(files.items()) if sha256 not in known]
    if waiting:
        tell("looking up", 0, len(waiting), None, None)
    if index is None:
        index = _new_index(folder, waiting)
    if waiting:
        for start in range(0, len(waiting), CHUNK):
            tell("looking up", start, len(waiting), None, None)
            part = waiting[start : start + CHUNK]
            index.add([row.sha256 or "" for row in part], [_features(folder, row) for row in part])
        index.save(file)
    return index


def _new_index(folder: Path, rows: Sequence[PictureRow]) -> Index:
    """An index for these pictures, trained on some of their keypoints."""
    size = sum(row.keypoints or 0 for row in rows)
    wanted = SAMPLE * lists_for(size)
    share = min(1.0, wanted / max(1, size))
    rng = np.random.default_rng(0)
    sample = [np.zeros((0, 128), np.float32)]
    for row in rows:
        units = canonical(_features(folder, row))[0]
        sample.append(units[rng.random(len(units)) < share])
    return Index(np.concatenate(sample), size)


def _features(folder: Path, row: PictureRow) -> Features:
    assert row.sha256 is not None
    file = features_file(folder, row.sha256)
    try:
        return Features.from_bytes(file.read_bytes())
    except (OSError, ValueError) as error:
        raise DataError(f"{file}: is missing or damaged; give a new folder") from error


def _wanted(
    index: Index, rows: dict[str, PictureRow], items: dict[str, Item], roles: tuple[set[str], set[str]]
) -> dict[str, Item]:
    """The pairs to be laid over each other, by name: those of the index, and those that look alike as wholes."""
    readable = {path: row for path, row in rows.items() if row.error_code is None}
    wanted: dict[str, Item] = {}

    def want(first: str, second: str, *, mirrored: bool, alike: bool) -> None:
        first, second = sorted((first, second))
        if first not in readable or second not in readable or readable[first].sha256 == readable[second].sha256:
            return  # one of them has gone, or they are the same file, which needs no look
        if not plays(first, second, roles):
            return
        sides = [Side(path, items[path].location, readable[path].sha256 or "") for path in (first, second)]
        wanted.setdefault(pair_name(first, second), pair_item(*sides, mirrored=mirrored, alike=alike))

    paths: dict[str, list[str]] = {}
    for path, row in readable.items():
        paths.setdefault(row.sha256 or "", []).append(path)
    for each in sorted(index.candidates, key=lambda each: (each.second, each.first)):
        sides = [paths.get(index.names[number], [])[:_SAME_FILES] for number in (each.first, each.second)]
        for first, second in product(*sides):
            want(first, second, mirrored=each.mirrored, alike=False)
    hashed = [row for row in readable.values() if row.perceptual_hash is not None]
    for group in similar_groups([row.perceptual_hash or "" for row in hashed]):
        members = [hashed[number].path for number in group]
        for first, second in combinations(members, 2) if len(members) <= _ALL_PAIRS else pairwise(members):
            want(first, second, mirrored=False, alike=True)
    return wanted


def plays(first: str, second: str, roles: tuple[set[str], set[str]]) -> bool:
    """Whether one picture is searched for and the other searched in."""
    return (first in roles[0] and second in roles[1]) or (second in roles[0] and first in roles[1])


def _check(
    out: Path,
    store: PairStore,
    wanted: dict[str, Item],
    settings: ReuseSettings,
    workers: int | None,
    time_limit: float,
    tell: Tell,
) -> None:
    waiting = [item for item in wanted.values() if not store.is_done(item)]
    done = len(wanted) - len(waiting)
    tell("checking", done, len(wanted), None, None)
    if not waiting:
        return
    task = CheckSettings(search=settings, features=(out / "pictures" / FEATURES).resolve())
    with start_engine(
        "local", Check, task, items=len(waiting), workers=workers, address=None, time_limit=time_limit
    ) as pool:
        for row in pool.work(waiting):
            store.append(row)
            done += 1
            problem = None if row.error_code is None else (row.error_code, row.error_reason or "")
            tell("checking", done, len(wanted), " and ".join((row.first, row.second)), problem)
    store.flush()


def _counts(values: Iterable[Any]) -> dict[str, int]:
    counts: dict[str, int] = {}
    for value in values:
        counts[value] = counts.get(value, 0) + 1
    return counts
