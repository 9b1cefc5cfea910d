"""Photos on their way: taken in, judged one after the other, kept for a while, deleted.

Everything lies in one private temporary folder. Files are named by random numbers, never by what the caller calls
them, and the folder goes when the service ends.
"""

import asyncio
import errno
import hashlib
import secrets
import shutil
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, contextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import BinaryIO, TypeVar

import cv2
import numpy as np

from vilaco.compare import Comparison, compare_photos
from vilaco.compare.report import render_comparison, save_comparison
from vilaco.compare.words import put_in_words as put_comparison_in_words
from vilaco.errors import ImageError, VilacoError
from vilaco.evidence import Evidence
from vilaco.evidence.credentials import trust_anchors
from vilaco.files import write_atomically
from vilaco.images import Photo
from vilaco.localizer import Localizer
from vilaco.report.case import Case, Judge
from vilaco.report.html import hints, render_case
from vilaco.report.views import draw_views
from vilaco.report.words import put_in_words
from vilaco.result import Result
from vilaco.serve.entries import ORIGINAL, STEM, UPLOAD, ComparisonEntry, Entry, Job, PhotoEntry
from vilaco.serve.metrics import Metrics
from vilaco.serve.problems import Problem, ProblemError, log_unexpected, problem
from vilaco.serve.sandbox import Choice, Sandbox
from vilaco.serve.settings import MIB, ServeSettings

_LONGEST_NAME = 200
_SWEEP_SECONDS = 5.0
_PAIR = (UPLOAD, ORIGINAL)
_GONE = "there is no such photo, or it was deleted"

T = TypeVar("T")
E = TypeVar("E", bound=Entry)


class Jobs:
    """Takes photos in, has them judged, keeps and deletes them. Used from one event loop.

    Args:
        localizer: Judges.
        settings: Limits.
        metrics: Counts.
    """

    def __init__(self, localizer: Localizer, settings: ServeSettings, metrics: Metrics) -> None:
        self.localizer = localizer
        self.settings = settings
        self.metrics = metrics
        self.sandbox = Sandbox(
            max_pixels=settings.max_pixels,
            seconds=settings.decode_seconds,
            megabytes=settings.decode_mb,
            anchors=trust_anchors(settings.trust_anchors),
        )
        self.judge = Judge.of(localizer)
        self._jobs: dict[str, Job] = {}
        self._entries: dict[str, Entry] = {}
        self._queue: asyncio.Queue[tuple[Job, PhotoEntry | ComparisonEntry]] = asyncio.Queue()
        self._unfinished = 0
        self._kept = 0
        self._reads = settings.at_once + 1  # the next photo is decoded while the model looks at one
        self._threads = ThreadPoolExecutor(2 * self._reads + 2, thread_name_prefix="vilaco-serve")
        self._workers: list[asyncio.Task[None]] = []

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """The time in which photos are judged; in the end, everything kept is deleted."""
        with tempfile.TemporaryDirectory(prefix="vilaco-", ignore_cleanup_errors=True) as folder:
            self._folder = Path(folder)
            self._model_free = asyncio.Semaphore(self.settings.at_once)
            self._view_free = asyncio.Semaphore(self._reads)
            self._workers = [asyncio.create_task(self._work()) for _ in range(self._reads)]
            self._workers.append(asyncio.create_task(self._sweep()))
            try:
                yield
            finally:
                for worker in self._workers:
                    worker.cancel()
                await asyncio.gather(*self._workers, return_exceptions=True)
                await asyncio.to_thread(self._threads.shutdown, cancel_futures=True)

    @property
    def is_alive(self) -> bool:
        """Whether photos are being judged."""
        return bool(self._workers) and not any(worker.done() for worker in self._workers)

    def is_full(self, more: int = 1) -> bool:
        """Whether there is no place for so many more photos."""
        return self._unfinished + more > self.settings.max_queue

    async def submit(self, files: Sequence[tuple[str, BinaryIO]], choice: Choice) -> Job:
        """Take photos in to be judged.

        Args:
            files: Name as the caller gave it, and the content, read from its beginning.
            choice: What of each file to judge.

        Raises:
            ProblemError: 503 where the queue or the store is full, 507 where the disk is.
        """
        return await self._submit([partial(self._take_photo, name, content, choice) for name, content in files])

    async def submit_pair(self, suspect: tuple[str, BinaryIO], original: tuple[str, BinaryIO]) -> Job:
        """Take a photo and its original in to be compared; they count as one in the queue.

        Args:
            suspect: Name as the caller gave it, and the content, read from its beginning.
            original: Likewise.

        Raises:
            ProblemError: As `submit`.
        """
        return await self._submit([partial(self._take_pair, suspect, original)])

    async def _submit(self, takes: Sequence[Callable[[], PhotoEntry | ComparisonEntry]]) -> Job:
        if self.is_full(len(takes)):
            raise ProblemError(503, "queue_full", f"no place for {len(takes)} more photos in the queue")
        if self._kept > self.settings.max_kept_mb * MIB:
            raise ProblemError(503, "store_full", "too many photos are kept; older ones go soon")
        self._count(len(takes))
        entries: list[PhotoEntry | ComparisonEntry] = []
        try:
            for take in takes:
                entries.append(await self._in_thread(take))
        except BaseException as error:
            self._count(-len(takes))
            for entry in entries:
                shutil.rmtree(entry.folder, ignore_errors=True)
            if isinstance(error, OSError):
                raise disk_problem(error) from error
            raise
        job = Job(secrets.token_urlsafe(16), entries)
        self._jobs[job.id] = job
        for entry in entries:
            self._entries[entry.id] = entry
            self._keep(entry.size)
            self._queue.put_nowait((job, entry))
        return job

    def job(self, id_: str) -> Job:
        """A job by its id.

        Raises:
            ProblemError: 404.
        """
        if id_ not in self._jobs:
            raise ProblemError(404, "no_such_job", "there is no such job, or it was deleted")
        return self._jobs[id_]

    def entry(self, kind: type[E], id_: str) -> E:
        """A photo that was looked at, by its id.

        Args:
            kind: What was done to it.
            id_: Of the photo or the comparison.

        Raises:
            ProblemError: 404, also where it could not be looked at or is not yet.
        """
        entry = self._entries.get(id_)
        if not isinstance(entry, kind) or entry.state != "done":
            raise ProblemError(404, "no_such_photo", f"{_GONE}, or is not looked at yet")
        return entry

    def delete(self, job: Job) -> None:
        """Forget a job, its photos and their results at once; a photo in the model is forgotten when it leaves."""
        self._jobs.pop(job.id, None)
        for entry in job.entries:
            self._entries.pop(entry.id, None)
            if entry.state != "judging":
                self._remove(entry)
            if entry.state == "waiting":
                self._finish(job, entry, problem(410, "deleted", "the job was deleted", photo=entry.name))

    async def view(self, kind: type[E], look: Callable[[E], T], id_: str) -> T:
        """Something made from the files of a photo that was looked at, in a thread, a few at a time.

        Args:
            kind: What was done to it.
            look: Makes it.
            id_: Of the photo or the comparison.

        Raises:
            ProblemError: 404 where it is not there, or goes meanwhile.
        """
        entry = self.entry(kind, id_)
        async with self._view_free:
            try:
                return await self._in_thread(look, entry)
            except FileNotFoundError:
                raise ProblemError(404, "no_such_photo", f"{_GONE}, or has no such file") from None
            except ImageError as error:
                if self._entries.get(id_) is entry:
                    raise ProblemError(503, error.code, error.reason, photo=entry.name) from error
                raise ProblemError(404, "no_such_photo", _GONE) from None

    async def _in_thread(self, function: Callable[..., T], *arguments: object) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._threads, function, *arguments)

    def _take_photo(self, name: str, content: BinaryIO, choice: Choice) -> PhotoEntry:
        with self._new_folder() as folder:
            sha256, size = _store(content, folder / UPLOAD)
        id_ = secrets.token_urlsafe(16)
        return PhotoEntry(id=id_, name=shown_name(name), folder=folder, size=size, sha256=sha256, choice=choice)

    def _take_pair(self, suspect: tuple[str, BinaryIO], original: tuple[str, BinaryIO]) -> ComparisonEntry:
        with self._new_folder() as folder:
            size = sum(
                _store(file, folder / name)[1] for name, (_, file) in zip(_PAIR, (suspect, original), strict=True)
            )
        names = shown_name(suspect[0]), shown_name(original[0])
        return ComparisonEntry(id=secrets.token_urlsafe(16), name=names[0], folder=folder, size=size, original=names[1])

    @contextmanager
    def _new_folder(self) -> Iterator[Path]:
        """A private folder, which goes where it cannot be filled."""
        folder = self._folder / secrets.token_hex(16)
        folder.mkdir(mode=0o700)
        try:
            yield folder
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise

    async def _work(self) -> None:
        while True:
            job, entry = await self._queue.get()
            if entry.state != "waiting":  # deleted meanwhile
                continue
            entry.state = "judging"
            started = time.perf_counter()
            fault = await self._look(entry)
            self.metrics.photo_seconds.observe(time.perf_counter() - started)
            self._finish(job, entry, fault)
            if job.id not in self._jobs:
                self._remove(entry)

    async def _look(self, entry: PhotoEntry | ComparisonEntry) -> Problem | None:
        try:
            await (self._judge(entry) if isinstance(entry, PhotoEntry) else self._compare(entry))
        except ImageError as error:
            status = 413 if error.code == "too_many_pixels" else 422
            return problem(status, error.code, error.reason, photo=error.source)
        except VilacoError as error:  # a result that cannot be written
            cause = error.__cause__
            return disk_problem(cause, photo=entry.name).problem if isinstance(cause, OSError) else _our_fault(entry)
        except Exception:
            return _our_fault(entry)
        size = sum(file.stat().st_size for file in entry.folder.iterdir())
        self._keep(size - entry.size)
        entry.size = size
        return None

    async def _judge(self, entry: PhotoEntry) -> None:
        photo, evidence = await self._in_thread(self.sandbox.read, entry.upload, entry.name, entry.choice)
        async with self._model_free:
            result = await self._in_thread(self.localizer.predict, photo)
        await self._in_thread(self._record, entry, photo, evidence, result)

    async def _compare(self, entry: ComparisonEntry) -> None:
        photo, evidence = await self._in_thread(self.sandbox.read, entry.upload, entry.name)
        source, _ = await self._in_thread(self.sandbox.read, entry.original_upload, entry.original)
        async with self._model_free:
            found = await self._in_thread(compare_photos, photo, source, evidence.jpeg)
        await self._in_thread(_record_comparison, entry, found)

    def _record(self, entry: PhotoEntry, photo: Photo, evidence: Evidence, result: Result) -> None:
        """Write the results beside the photo."""
        row = result.to_row()
        case = Case(name=entry.name, row=row, judge=self.judge, evidence=evidence, views=draw_views(photo, result))
        result.save(entry.folder, STEM)
        write_atomically(entry.result_file("report.html"), render_case(case).encode())
        entry.evidence, entry.hints, entry.words, entry.row = evidence, hints(case), put_in_words(case), row

    def _finish(self, job: Job, entry: PhotoEntry | ComparisonEntry, fault: Problem | None) -> None:
        entry.state, entry.problem = ("done", None) if fault is None else ("failed", fault)
        self.metrics.photos.labels(entry.outcome if fault is None else fault.code).inc()
        self._count(-1)
        if all(each.state in ("done", "failed") for each in job.entries):
            job.finished_at = time.monotonic()
            job.expires_at = datetime.now(UTC) + timedelta(minutes=self.settings.keep_minutes)
            job.finished.set()

    async def _sweep(self) -> None:
        keep = 60 * self.settings.keep_minutes
        while True:
            await asyncio.sleep(min(_SWEEP_SECONDS, keep))
            old = [
                job
                for job in self._jobs.values()
                if job.finished.is_set() and time.monotonic() - job.finished_at > keep
            ]
            for job in old:
                self.delete(job)

    def _remove(self, entry: Entry) -> None:
        shutil.rmtree(entry.folder, ignore_errors=True)
        self._keep(-entry.size)
        entry.size = 0

    def _count(self, change: int) -> None:
        self._unfinished += change
        self.metrics.queue.set(self._unfinished)

    def _keep(self, change: int) -> None:
        self._kept += change
        self.metrics.kept.set(self._kept)


def _record_comparison(entry: ComparisonEntry, found: Comparison) -> None:
    """Write the results beside the two files."""
    save_comparison(found, entry.folder)
    write_atomically(entry.result_file("report.html"), render_comparison(found).encode())
    entry.words, entry.row = put_comparison_in_words(found.row), found.row


def _store(content: BinaryIO, file: Path) -> tuple[str, int]:
    """Copy a file; SHA-256 and bytes."""
    digest, size = hashlib.sha256(), 0
    with open(file, "xb") as copy:
        content.seek(0)
        while chunk := content.read(MIB):
            copy.write(chunk)
            digest.update(chunk)
            size += len(chunk)
    return digest.hexdigest(), size


def shown_name(name: str) -> str:
    r"""A caller's file name as text that is safe to show: no control characters, not too long.

    Example:
        >>> shown_name("holiday/a\nb\u202egpj.jpg")
        'holiday/a b gpj.jpg'
    """
    letters = "".join(letter if letter.isprintable() else " " for letter in name[:_LONGEST_NAME])
    return letters.strip() or "photo"


def read_map(entry: PhotoEntry) -> np.ndarray:
    """A judged photo's localization map as it was saved, (H, W) float32 in [0, 1], in steps of 1 / 65535."""
    levels = cv2.imdecode(np.frombuffer(entry.result_file("map.png").read_bytes(), np.uint8), cv2.IMREAD_UNCHANGED)
    assert levels is not None  # our own file
    return levels.astype(np.float32) / np.float32(65535)


def disk_problem(error: OSError, *, photo: str | None = None) -> ProblemError:
    """What to answer where a file cannot be written."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return ProblemError(507, "disk_full", "no space is left where photos are kept", photo=photo)
    log_unexpected("a file cannot be written")
    return ProblemError(500, "internal_error", "a file could not be written; the log has it", photo=photo)


def _our_fault(entry: Entry) -> Problem:
    log_unexpected("a photo could not be judged")
    return problem(500, "internal_error", "an error on our side; the log of the service has it", photo=entry.name)
