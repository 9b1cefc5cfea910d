"""Do a task with Ray Data, on a cluster or on a small one of this machine's own.

Ray hands out batches and brings the rows back; on each node a batch goes through the same
:class:`~vilaco.scan.pool.Pool` as on one machine, with one worker. A file that kills a process therefore costs one
image there too: Ray itself would start the batch again and again, or drop the images beside it.

Every node needs vilaco, the model where there is one, and access to the source; the results need not be reachable
from any but the driver.
"""

import json
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from itertools import islice
from typing import Any, Generic, Self

import pyarrow as pa

from vilaco.errors import ConfigError, VilacoError
from vilaco.scan.pool import Pool, core_count
from vilaco.scan.sources import Item
from vilaco.scan.task import AnswerT, SettingsT, Task, find_task

BATCH = 32
"""Images that travel together. Their rows reach the journal together: a death repeats at most this many a worker."""
_SETTINGS = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_DATA_LOG_LEVEL": "ERROR", "RAY_BACKEND_LOG_LEVEL": "fatal"}
"""Environment, read when Ray is imported: no telemetry, and no tales on stderr."""
_EMBEDDED_STORE = 256 << 20  # bytes; rows and overlays of the batches on their way


class RayPool(Generic[SettingsT, AnswerT]):
    """The nodes of a Ray cluster, as :class:`~vilaco.scan.pool.Pool` is the processes of a machine.

    Args:
        task: What is done to each image.
        settings: Of the task.
        workers: Images at a time, each on one core; all cores of the cluster if ``None``.
        address: Of the cluster, as :func:`ray.init` takes it; ``None`` starts one on this machine.
        time_limit: Seconds an image may take.

    Raises:
        ConfigError: If there is no cluster at the address.
    """

    def __init__(
        self,
        task: type[Task[SettingsT, AnswerT]],
        settings: SettingsT,
        *,
        workers: int | None,
        address: str | None,
        time_limit: float,
    ) -> None:
        for name, value in _SETTINGS.items():
            os.environ.setdefault(name, value)
        import ray

        self._task = task
        self._arguments = {"task": task.address(), "settings": settings.model_dump_json(), "time_limit": time_limit}
        quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": "ERROR"}
        try:
            with _silence():
                if address is None:
                    cores = workers or core_count()
                    ray.init(
                        "local", num_cpus=cores, object_store_memory=_EMBEDDED_STORE, include_dashboard=False, **quiet
                    )
                else:
                    ray.init(address, **quiet)
        except Exception as error:
            reason = " ".join(str(error).split()) or type(error).__name__
            raise ConfigError(f"{address or 'local'}: Ray cannot be reached ({reason})") from None
        self._workers = workers or int(ray.cluster_resources()["CPU"])

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        import ray

        ray.shutdown()

    def work(self, items: Iterable[Item]) -> Iterator[AnswerT]:
        """Do the task, in the order in which their batches get done.

        Raises:
            VilacoError: If Ray gives up, or the workers end as they start.
        """
        import ray

        context = ray.data.DataContext.get_current()
        context.enable_progress_bars = False
        context.execution_options.preserve_order = False
        rows = ray.data.from_arrow(list(_batches(items))).map_batches(
            _WorkOnBatch,
            batch_size=None,
            batch_format="pyarrow",
            num_cpus=1,
            compute=ray.data.ActorPoolStrategy(size=self._workers),
            fn_constructor_kwargs=self._arguments,
        )
        try:
            for table in rows.iter_batches(batch_size=None, batch_format="pyarrow"):
                for line in table["answer"]:
                    yield self._task.answer_type.model_validate_json(line.as_py())
        except ray.exceptions.RayError as error:
            reason = str(error.__cause__ or error).strip().splitlines()[-1]
            raise VilacoError(f"Ray gave up ({reason}); the same call goes on") from error


@contextmanager
def _silence() -> Iterator[None]:
    """Keep what Ray's C++ parts say as they start off stderr; what is wrong comes as an exception."""
    stderr = os.dup(2)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        yield
    finally:
        os.dup2(stderr, 2)
        os.close(stderr)
        os.close(nowhere)


class _WorkOnBatch:
    """What Ray runs on a core."""

    def __init__(self, task: str, settings: str, time_limit: float) -> None:
        found = find_task(task)
        self._pool = Pool(found, found.settings_type.model_validate_json(settings), workers=1, time_limit=time_limit)

    def __call__(self, batch: pa.Table) -> pa.Table:
        items = (Item(*json.loads(text)) for text in batch["item"].to_pylist())
        return pa.table({"answer": [answer.model_dump_json() for answer in self._pool.work(items)]})


def _batches(items: Iterable[Item]) -> Iterator[pa.Table]:
    waiting = iter(items)
    while batch := [json.dumps(item) for item in islice(waiting, BATCH)]:
        yield pa.table({"item": batch})
