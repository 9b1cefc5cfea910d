"""Write a forged data set in parallel: the same seed gives the same bytes with any number of workers."""

import csv
import io
import json
import math
import multiprocessing
import os
import shutil
import signal
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path

import cv2
import numpy as np

from vilaco import __version__
from vilaco.data.forge.config import ForgeConfig
from vilaco.data.forge.engine import Example, draw_scene, finish_example
from vilaco.data.forge.history import encode_png
from vilaco.data.forge.photos import PhotoPool, load_autoencoder
from vilaco.data.forge.sheet import SheetEntry, contact_sheet
from vilaco.data.records import AUTHENTIC, TAMPERED
from vilaco.errors import ConfigError, DataError, VilacoError
from vilaco.files import write_atomically
from vilaco.images import encode_jpeg

CHUNK = 32
"""Pictures a worker makes before it reports: two runs of a group, about half a second, so that Ctrl-C is
answered at once."""
RUN = 16
"""Pictures made from one group before the plan goes on to the next: two from each of eight photos."""
SHEET = 32
"""Forgeries on the contact sheet, spread over the data set."""
HOSTS, SCENES, FORGERIES, PLAN = range(4)
"""First word of a spawn key: which decision the random numbers below it are for."""


@dataclass(frozen=True)
class ForgeSummary:
    """What :func:`forge_dataset` wrote.

    Attributes:
        out: The data set's folder.
        manifest: Its ``manifest.csv`` (columns path, label, mask, group).
        contact_sheet: A picture of some of its forgeries; ``None`` when there is no forgery.
        authentic: Count of authentic pictures.
        tampered: Count of tampered pictures.
        operations: Operation to count, over the tampered pictures.
        photos_given: Count of different photos that were offered.
        photos_used: Count of photos that were read; those in groups that a short data set never came to were
            not.
        unreadable: Photo to the reason why it was skipped.
        seconds: Wall time.
    """

    out: Path
    manifest: Path
    contact_sheet: Path | None
    authentic: int
    tampered: int
    operations: Mapping[str, int]
    photos_given: int
    photos_used: int
    unreadable: Mapping[Path, str]
    seconds: float


@dataclass(frozen=True)
class _Job:
    """One picture to make: its number, its scene's, label, and place in its group's sequence of hosts."""

    index: int
    scene: int
    label: int
    run: int
    place: int


@dataclass(frozen=True)
class _Row:
    """One picture made, as ``manifest.csv`` and ``examples.jsonl`` tell it."""

    index: int
    path: str
    label: int
    mask: str | None
    group: str
    operation: str | None
    shape: str | None
    tampered_share: float
    host: str
    donor: str | None
    history: tuple[str, ...]


@dataclass
class _Chunk:
    """What came of some jobs of one group."""

    group: int
    rows: list[_Row] = field(default_factory=list)
    undone: list[_Job] = field(default_factory=list)
    used: set[int] = field(default_factory=set)
    unreadable: dict[int, str] = field(default_factory=dict)


def forge_dataset(
    photos: Sequence[Path],
    out: Path,
    *,
    count: int,
    seed: int,
    segments: Sequence[Path] = (),
    autoencoder: Path | None = None,
    tampered_share: float | None = None,
    size: tuple[int, int] | None = None,
    config: ForgeConfig | None = None,
    workers: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> ForgeSummary:
    """Write a data set of authentic and forged pictures made from authentic photos.

    ::

        out/
          authentic/000001.jpg ...    masks/000000.png ...    (0 and 255)
          tampered/000000.jpg ...     manifest.csv            (path, label, mask, group)
          contact_sheet.jpg           examples.jsonl          (operation, photos and history of every picture)
          forge.json                  (settings, seed, versions, photos, counts)

    Pictures of one group share photos with each other and with no picture outside it, so a split by
    ``group`` is a split by scene. Where half are forgeries, each has an authentic twin: the same view of the
    same photo, from the same camera and through the same history, so that even by chance neither content nor
    history tells a label. On Ctrl-C the pictures made so far are listed in the
    manifest, ``forge.json`` says ``"finished": false``, and :class:`KeyboardInterrupt` goes on to the caller.

    Args:
        photos: Authentic photos, files that :func:`vilaco.images.load_photo` can read. Their order does not
            matter.
        out: The folder to write; new or empty.
        count: Pictures to make, both labels together.
        seed: Fixes every picture, whatever the number of workers.
        segments: Folders of segmentations, named like their photos; otherwise all shapes are random.
        autoencoder: Folder of one that re-draws regions (:class:`~vilaco.data.forge.redraw.Autoencoder`).
        tampered_share: Share of forgeries, exact to one picture; the config's if ``None``.
        size: (height, width) of every picture; the config's if ``None``.
        config: Probabilities and ranges; the defaults if ``None``.
        workers: Processes; 1 works in this one, ``None`` takes a process for each usable core.
        progress: Called with (pictures made, count).

    Returns:
        Counts, and where things are.

    Raises:
        ConfigError: If a number is out of range.
        DataError: If ``out`` is not empty, ``segments`` does not fit, the autoencoder or no photo can be read.
        VilacoError: If a file cannot be written.
    """
    started = time.monotonic()
    config = _configure(config, tampered_share, size)
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    workers = cores if workers is None else workers
    if count < 1 or seed < 0 or workers < 1:
        raise ConfigError(f"need count >= 1, seed >= 0, workers >= 1, got {count}, {seed}, {workers}.")
    out = Path(out)
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise DataError(f"{out}: exists and is not an empty folder; forged pictures are not mixed with other files.")

    redrawing = load_autoencoder(autoencoder)
    pool = PhotoPool(photos, segments=segments, autoencoder=redrawing, max_side=config.max_side)
    forger = _Forger(pool, out, seed, config)
    for folder in ("authentic", "tampered", "masks"):
        (out / folder).mkdir(parents=True, exist_ok=True)
    made: list[_Chunk] = []

    def tell() -> None:
        if progress is not None:
            progress(sum(len(chunk.rows) for chunk in made), count)

    plan = _plan(count, config.tampered_share, len(forger.photos.groups), seed)
    try:
        _make_all(forger, plan, workers, made, tell)
    except BaseException:
        if any(chunk.rows for chunk in made):
            _finish(forger, made, False, time.monotonic() - started)
        else:
            for folder in ("authentic", "tampered", "masks"):  # pictures in them are of no manifest
                shutil.rmtree(out / folder, ignore_errors=True)
            with suppress(OSError):
                out.rmdir()
        raise
    return _finish(forger, made, True, time.monotonic() - started)


class _Forger:
    """Makes pictures and writes their files; each process has one."""

    def __init__(self, photos: PhotoPool, out: Path, seed: int, config: ForgeConfig) -> None:
        self.photos, self.out, self.seed, self.config = photos, out, seed, config

    def make(self, group: int, jobs: Sequence[_Job]) -> _Chunk:
        """Make the pictures of some jobs of one group."""
        members = self.photos.members(group)
        skipped = {i: self.photos.unreadable[i] for i in self.photos.groups[group] if i in self.photos.unreadable}
        chunk = _Chunk(group, used=set(members), unreadable=skipped)
        if not members:
            chunk.undone.extend(jobs)
            return chunk
        for number, twins in groupby(jobs, key=_by_scene):
            first, *others = twins
            order = _rng(self.seed, HOSTS, first.run).permutation(members)
            host = int(order[first.place // 2 % len(members)])
            scene = draw_scene(self.photos, host, _rng(self.seed, SCENES, number), self.config)
            for job in (first, *others):
                rng = _rng(self.seed, FORGERIES, job.index)
                example = finish_example(self.photos, scene, rng, self.config, label=job.label)
                chunk.rows.append(self._write(job, example))
        return chunk

    def _write(self, job: _Job, example: Example) -> _Row:
        folder = "tampered" if example.label == TAMPERED else "authentic"
        path, mask = f"{folder}/{job.index:06d}{example.suffix}", None
        if example.label == TAMPERED:
            mask = f"masks/{job.index:06d}.png"
            _write_whole(self.out / mask, encode_png(example.mask.astype(np.uint8) * 255))
        _write_whole(self.out / path, example.encoded)
        return _Row(
            index=job.index,
            path=path,
            label=example.label,
            mask=mask,
            group=f"group-{example.group:04d}",
            operation=example.operation,
            shape=example.shape,
            tampered_share=round(np.count_nonzero(example.mask) / example.mask.size, 6),
            host=str(self.photos.paths[example.host]),
            donor=None if example.donor is None else str(self.photos.paths[example.donor]),
            history=example.history,
        )


_here: list[_Forger] = []
"""This worker process's forger; empty in any other process."""


def _start_worker(forger: _Forger) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the parent decides
    cv2.setNumThreads(1)
    _here.append(forger)


def _make_here(group: int, jobs: Sequence[_Job]) -> _Chunk:
    return _here[0].make(group, jobs)


def _make_all(
    forger: _Forger,
    plan: Mapping[int, Sequence[_Job]],
    workers: int,
    made: list[_Chunk],
    tell: Callable[[], None],
) -> None:
    """Do every job; those of groups without a readable photo are dealt to the other groups."""
    while plan:
        _make(forger, plan, workers, made, tell)
        barren = {chunk.group for chunk in made if chunk.undone}
        fertile = [group for group in range(len(forger.photos.groups)) if group not in barren]
        if not fertile:
            raise DataError(f"none of the {len(forger.photos.paths)} photos can be read.")
        done = {row.index for chunk in made for row in chunk.rows}
        undone = sorted((job for jobs in plan.values() for job in jobs if job.index not in done), key=_by_index)
        again: dict[int, list[_Job]] = {}
        for job in undone:
            again.setdefault(fertile[job.index // 2 % len(fertile)], []).append(job)  # twins stay together
        plan = again


def _make(
    forger: _Forger,
    plan: Mapping[int, Sequence[_Job]],
    workers: int,
    made: list[_Chunk],
    tell: Callable[[], None],
) -> None:
    """Do jobs in chunks; what is under way when an exception comes is finished and kept in ``made``."""
    tasks = [(g, jobs[i : i + CHUNK]) for g, jobs in sorted(plan.items()) for i in range(0, len(jobs), CHUNK)]
    workers = min(workers, len(tasks))
    if workers == 1:
        for group, jobs in tasks:
            made.append(forger.make(group, jobs))
            tell()
        return
    context = multiprocessing.get_context("spawn")  # fork copies the locks of OpenCV's and torch's threads
    waiting: set[Future[_Chunk]] = set()
    try:
        with ProcessPoolExecutor(workers, context, initializer=_start_worker, initargs=(forger,)) as pool:
            waiting.update(pool.submit(_make_here, *task) for task in tasks)
            try:
                for future in as_completed(list(waiting)):
                    made.append(future.result())
                    waiting.discard(future)
                    tell()
            except BaseException:
                pool.shutdown(cancel_futures=True)
                raise
    finally:
        made.extend(f.result() for f in waiting if f.done() and not f.cancelled() and f.exception() is None)


def _by_index(job: _Job) -> int:
    return job.index


def _by_scene(job: _Job) -> int:
    return job.scene


def _write_whole(path: Path, data: bytes) -> None:
    """Write one picture under its name only once it is whole.

    Unlike :func:`write_atomically` it leaves the disk's own cache alone, which would halve the speed; the
    manifest, written after one sync of the disk, is what makes a picture part of the data set.
    """
    temporary = path.with_name(f".{path.name}.tmp")
    try:
        temporary.write_bytes(data)
        os.replace(temporary, path)
    except OSError as error:
        raise VilacoError(f"{path}: cannot be written ({error.strerror or error})") from error
    finally:
        temporary.unlink(missing_ok=True)


def _plan(count: int, tampered_share: float, groups: int, seed: int) -> dict[int, list[_Job]]:
    """Deal the pictures to groups in runs of :data:`RUN`, labels spread evenly along each run.

    An authentic and a tampered picture with the numbers ``2 n`` and ``2 n + 1`` are twins, of one scene.
    """
    order = _rng(seed, PLAN).permutation(groups)
    tampered = [math.floor(index * tampered_share + 0.5) for index in range(count + 2)]
    plan: dict[int, list[_Job]] = {}
    for index in range(count):
        label = TAMPERED if tampered[index + 1] > tampered[index] else AUTHENTIC
        pair = index // 2 * 2
        scene = pair if tampered[pair + 2] - tampered[pair] == 1 else index
        run, place = divmod(index, RUN)
        job = _Job(index, scene, label, run, place)
        plan.setdefault(int(order[run % groups]), []).append(job)
    return plan


def _rng(seed: int, *key: int) -> np.random.Generator:
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=key))


def _configure(config: ForgeConfig | None, tampered_share: float | None, size: tuple[int, int] | None) -> ForgeConfig:
    config = config or ForgeConfig()
    given = {"tampered_share": tampered_share, "size": size}
    try:
        return ForgeConfig(
            **(config.model_dump() | {name: value for name, value in given.items() if value is not None})
        )
    except ValueError as error:
        raise ConfigError(f"tampered_share must be in [0, 1] and sizes 64 to 8192 pixels, got {given}.") from error


def _finish(forger: _Forger, chunks: Sequence[_Chunk], finished: bool, seconds: float) -> ForgeSummary:
    """Write the manifest and its companions for whatever was made."""
    out, photos = forger.out, forger.photos
    rows = sorted((row for chunk in chunks for row in chunk.rows), key=lambda row: row.index)
    tampered = [row for row in rows if row.label == TAMPERED]
    unreadable = {photos.paths[i]: why for chunk in chunks for i, why in sorted(chunk.unreadable.items())}
    table = io.StringIO()
    writer = csv.writer(table, lineterminator="\n")
    writer.writerow(("path", "label", "mask", "group"))
    writer.writerows((row.path, row.label, row.mask or "", row.group) for row in rows)
    if hasattr(os, "sync"):
        os.sync()
    write_atomically(out / "manifest.csv", table.getvalue().encode())
    write_atomically(out / "examples.jsonl", "".join(json.dumps(vars(row)) + "\n" for row in rows).encode())
    sheet = out / "contact_sheet.jpg" if tampered else None
    if sheet is not None:
        shown = tampered[:: max(1, len(tampered) // SHEET)][:SHEET]
        captions = (f"{row.path.split('/')[1]}  {row.operation} ({row.shape})" for row in shown)
        entries = [
            SheetEntry(out / row.path, out / str(row.mask), words) for row, words in zip(shown, captions, strict=True)
        ]
        write_atomically(sheet, encode_jpeg(contact_sheet(entries), 92, subsampling="4:4:4"))
    summary = ForgeSummary(
        out=out,
        manifest=out / "manifest.csv",
        contact_sheet=sheet,
        authentic=len(rows) - len(tampered),
        tampered=len(tampered),
        operations=dict(sorted(Counter((row.operation or "").split()[0] for row in tampered).items())),
        photos_given=len(photos.paths),
        photos_used=len(set().union(*(chunk.used for chunk in chunks))),
        unreadable=dict(sorted(unreadable.items())),
        seconds=seconds,
    )
    about = {
        "finished": finished,
        "seed": forger.seed,
        "config": forger.config.model_dump(),
        "versions": {"vilaco": __version__, "numpy": np.__version__, "opencv": cv2.__version__},
        "authentic": summary.authentic,
        "tampered": summary.tampered,
        "operations": summary.operations,
        "photos_given": summary.photos_given,
        "photos_used": summary.photos_used,
        "unreadable": {str(path): why for path, why in summary.unreadable.items()},
    }
    write_atomically(out / "forge.json", (json.dumps(about, indent=2) + "\n").encode())
    return summary
