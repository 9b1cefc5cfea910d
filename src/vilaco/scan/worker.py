"""A process that does a task to images: one JSON line in, one JSON line out.

It computes on one thread, and reads the next image on another while it works on one. It writes no file and answers for
no other process, so it may die at any moment: :mod:`vilaco.scan.pool` sees which images it had.
"""

import json
import os
import sys
import threading
from contextlib import suppress
from pathlib import Path
from queue import Queue
from typing import TYPE_CHECKING, Any, BinaryIO

if TYPE_CHECKING:
    from vilaco.scan.task import Task

READY = b"ready\n"
"""First line of a worker that can begin."""
ONE_THREAD = dict.fromkeys(("VILACO_THREADS", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
"""Environment that a worker is to be started with: libraries read it when they are loaded."""


def main() -> None:
    """Take the task from the command line, its settings as the first line, then images until there are no more."""
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what a library prints must not get between the answers
    with suppress(OSError):  # where memory runs out, Linux shall end this process and not the one that keeps the rows
        Path("/proc/self/oom_score_adj").write_text("1000")

    import cv2

    from vilaco import decoder_noise
    from vilaco.errors import VilacoError
    from vilaco.scan.task import find_task

    cv2.setNumThreads(1)
    orders = sys.stdin.buffer
    try:
        task = find_task(sys.argv[1]).from_json(orders.readline())
    except VilacoError as error:
        sys.exit(f"error: {error}")
    answers.write(READY)
    answers.flush()
    decoder_noise.capture()
    read: Queue[Any] = Queue(maxsize=1)
    threading.Thread(target=_read_ahead, args=(orders, task, read), daemon=True).start()
    while True:
        answers.write(task.work(read.get()).model_dump_json().encode() + b"\n")
        answers.flush()


def _read_ahead(orders: BinaryIO, task: "Task[Any, Any]", read: Queue[Any]) -> None:
    from vilaco.scan.sources import Item

    for line in orders:
        read.put(task.read(Item(*json.loads(line))))
    os._exit(0)  # whoever gave the orders is done or gone; a result that is still being computed has no taker


if __name__ == "__main__":
    main()
