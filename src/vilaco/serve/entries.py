"""What callers hand in, and how far it is."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from vilaco.compare import ComparisonRow
from vilaco.evidence import Evidence
from vilaco.report.words import Words
from vilaco.result import ResultRow
from vilaco.serve.problems import Problem
from vilaco.serve.sandbox import Choice
from vilaco.serve.wire import ComparisonAnswer, JobAnswer, PhotoAnswer, State

UPLOAD, ORIGINAL, STEM = "upload", "original", "photo"
"""Names inside a photo's folder: the files as they came, and what the results of judging share."""


@dataclass(eq=False, kw_only=True)
class Entry:
    """What is looked at at once, and how far it is; its files lie in a folder of its own."""

    id: str
    name: str
    folder: Path
    size: int
    state: State = "waiting"
    problem: Problem | None = None

    @property
    def upload(self) -> Path:
        """The file as it came."""
        return self.folder / UPLOAD

    def result_file(self, name: str) -> Path:
        """One of the files that looking left."""
        return self.folder / f"{STEM}.{name}"


@dataclass(eq=False, kw_only=True)
class PhotoEntry(Entry):
    """One photo to be judged, which leaves ``mask.png``, ``map.png``, ``overlay.jpg`` and ``report.html``."""

    sha256: str
    choice: Choice
    row: ResultRow | None = None
    words: Words | None = None
    evidence: Evidence | None = None
    hints: tuple[str, ...] = ()

    @property
    def outcome(self) -> str:
        """What is counted once it is done."""
        return self.row.verdict if self.row is not None else "unknown"

    def answer(self) -> PhotoAnswer:
        """As JSON."""
        return PhotoAnswer(
            id=self.id,
            name=self.name,
            sha256=self.sha256,
            state=self.state,
            result=self.row,
            words=self.words,
            evidence=self.evidence,
            hints=self.hints,
            problem=self.problem,
        )


@dataclass(eq=False, kw_only=True)
class ComparisonEntry(Entry):
    """A suspect beside its original; it leaves the files of `vilaco.compare.report.save_comparison` and a report."""

    original: str
    row: ComparisonRow | None = None
    words: Words | None = None

    @property
    def outcome(self) -> str:
        """What is counted once it is done."""
        return "compared"

    def result_file(self, name: str) -> Path:
        """One of the files that looking left."""
        return self.folder / name

    @property
    def original_upload(self) -> Path:
        """The original's file as it came."""
        return self.folder / ORIGINAL

    def answer(self) -> ComparisonAnswer:
        """As JSON."""
        return ComparisonAnswer(
            id=self.id,
            suspect=self.name,
            original=self.original,
            state=self.state,
            result=self.row,
            words=self.words,
            problem=self.problem,
        )


@dataclass(eq=False)
class Job:
    """Photos that came together."""

    id: str
    entries: Sequence[PhotoEntry | ComparisonEntry]
    finished: asyncio.Event = field(default_factory=asyncio.Event)
    finished_at: float = 0.0
    expires_at: datetime | None = None

    def answer(self) -> JobAnswer:
        """As JSON."""
        return JobAnswer(
            id=self.id,
            state="done" if self.finished.is_set() else "running",
            finished=sum(entry.state in ("done", "failed") for entry in self.entries),
            total=len(self.entries),
            expires_at=self.expires_at,
            photos=tuple(entry.answer() for entry in self.entries if isinstance(entry, PhotoEntry)),
            comparisons=tuple(entry.answer() for entry in self.entries if isinstance(entry, ComparisonEntry)),
        )
