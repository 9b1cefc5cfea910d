"""Do a task in processes on this machine, so that an image that kills a process costs that image alone.

Each worker has at most `AHEAD` images: one it works on and one it reads. So there is never more work in memory than the
workers' own, and no more is given out than is taken from the generator. Where a worker dies or stands still, the images
it had are suspects: each is given to a worker that has nothing else. What then dies again was killed by this image.
"""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import suppress
from queue import Empty, SimpleQueue
from typing import Generic, Self

from vilaco import decoder_noise
from vilaco.errors import VilacoError
from vilaco.scan.sources import Item
from vilaco.scan.task import AnswerT, SettingsT, Task
from vilaco.scan.worker import ONE_THREAD, READY

AHEAD = 2
"""Images given to a worker at a time."""
TIME_LIMIT = 300.0
"""Seconds an image may take unless the caller says otherwise: 100 megapixels need a fraction on one slow core."""
_FALSE_STARTS = 5  # in a row; then it is not bad luck
_TICK = 0.5  # seconds between two looks at the clock


def core_count() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class _Worker:
    """One process, what it was given, and the thread that listens to it."""

    def __init__(self, task: str, settings: str, heard: "SimpleQueue[tuple[_Worker, bytes]]") -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "vilaco.scan.worker", task],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=decoder_noise.python_stderr,
            env={**os.environ, **ONE_THREAD},
            start_new_session=True,  # Ctrl-C in a terminal reaches the scan alone, which then ends its workers
        )
        self.given: deque[Item] = deque()
        self.since = time.monotonic()
        self.ready = self.alone = self.overdue = False
        self._say(settings)
        self._thread = threading.Thread(target=self._listen, args=(heard,), daemon=True)
        self._thread.start()

    def give(self, item: Item, *, alone: bool) -> None:
        """Give it an image; with ``alone``, give it nothing else before it has answered."""
        if not self.given:
            self.since = time.monotonic()
        self.given.append(item)
        self.alone = alone
        self._say(json.dumps(item))

    def answered(self) -> Item:
        """The image that the next answer is about: answers come in the order of the orders."""
        self.since = time.monotonic()
        self.alone = False
        return self.given.popleft()

    def kill(self) -> None:
        """End it; what it has of the work is lost, and may be."""
        self.process.kill()
        self.end()

    def end(self) -> str:
        """Wait for its end, and tell it in words."""
        code = self.process.wait()
        self._thread.join()
        assert self.process.stdin is not None
        self.process.stdin.close()
        return f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"

    def _say(self, line: str) -> None:
        assert self.process.stdin is not None
        with suppress(BrokenPipeError):  # it has died, which the listening thread tells
            os.write(self.process.stdin.fileno(), line.encode() + b"\n")

    def _listen(self, heard: "SimpleQueue[tuple[_Worker, bytes]]") -> None:
        assert self.process.stdout is not None
        with self.process.stdout as answers:
            for line in answers:
                if line.endswith(b"\n"):  # or it died while it spoke
                    heard.put((self, line))
        heard.put((self, b""))


class Pool(Generic[SettingsT, AnswerT]):
    """Worker processes that outlive one call; a context manager.

    Args:
        task: What is done to each image.
        settings: Of the task.
        workers: How many processes, each of which computes on one thread.
        time_limit: Seconds an image may take.
    """

    def __init__(
        self,
        task: type[Task[SettingsT, AnswerT]],
        settings: SettingsT,
        *,
        workers: int,
        time_limit: float = TIME_LIMIT,
    ) -> None:
        self._task = task
        self._settings = settings
        self._time_limit = time_limit
        self._heard: SimpleQueue[tuple[_Worker, bytes]] = SimpleQueue()
        self._false_starts = 0
        self._workers = {self._start() for _ in range(workers)}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        for worker in self._workers:
            worker.kill()

    def work(self, items: Iterable[Item]) -> Iterator[AnswerT]:
        """Do the task, in the order in which they get done.

        Args:
            items: Taken as workers get free.

        Raises:
            VilacoError: If workers end as they start.
        """
        waiting, suspects = iter(items), deque[Item]()
        exhausted = False
        while True:
            for worker in self._workers:
                if suspects and not worker.given:
                    worker.give(suspects.popleft(), alone=True)
                while not exhausted and not worker.alone and len(worker.given) < AHEAD:
                    item = next(waiting, None)
                    if item is None:
                        exhausted = True
                    else:
                        worker.give(item, alone=False)
            if not suspects and not any(worker.given for worker in self._workers):
                return
            self._end_overdue()
            try:
                worker, line = self._heard.get(timeout=_TICK)
            except Empty:
                continue
            if worker not in self._workers:
                continue  # of one that was replaced
            if line == READY:
                worker.ready, self._false_starts = True, 0
                worker.since = time.monotonic()
            elif line:
                worker.answered()
                yield self._task.answer_type.model_validate_json(line)
            else:
                yield from self._bury(worker, suspects)

    def _start(self) -> _Worker:
        return _Worker(self._task.address(), self._settings.model_dump_json(), self._heard)

    def _end_overdue(self) -> None:
        for worker in self._workers:
            if worker.ready and worker.given and time.monotonic() - worker.since > self._time_limit:
                worker.overdue = True
                worker.process.kill()

    def _bury(self, worker: _Worker, suspects: deque[Item]) -> Iterator[AnswerT]:
        """Replace a worker that died; its images become suspects, or, where it had only one, the culprit."""
        self._workers.remove(worker)
        how = worker.end()
        if not worker.ready:
            self._false_starts += 1
            if self._false_starts >= _FALSE_STARTS:
                raise VilacoError(f"the processes of the {self._task.noun} end as they start ({how})")
        self._workers.add(self._start())
        if worker.alone and worker.ready:
            code, reason = "crashed", f"the process that looked at it died twice ({how})"
            if worker.overdue:
                code, reason = "time_limit", f"was not done after {self._time_limit:g} seconds, twice"
            yield self._task.failed(worker.given[0], self._settings, code, reason)
        else:
            suspects.extend(worker.given)
