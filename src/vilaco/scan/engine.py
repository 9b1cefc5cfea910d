"""Which engine does the work: processes of this machine, or a Ray cluster."""

from typing import TYPE_CHECKING, Literal

from vilaco.scan.pool import Pool, core_count
from vilaco.scan.task import AnswerT, SettingsT, Task

if TYPE_CHECKING:
    from vilaco.scan.ray_engine import RayPool

Engine = Literal["local", "ray"]


def start_engine(
    engine: Engine,
    task: type[Task[SettingsT, AnswerT]],
    settings: SettingsT,
    *,
    items: int,
    workers: int | None,
    address: str | None,
    time_limit: float,
) -> "Pool[SettingsT, AnswerT] | RayPool[SettingsT, AnswerT]":
    """Start what will do a task; a context manager with a method ``work``.

    Args:
        engine: ``"local"``, processes of this machine, or ``"ray"``, those of a Ray cluster.
        task: What is done to each item.
        settings: Of the task.
        items: How many there are.
        workers: Items at a time, each on one thread; one a core if ``None``.
        address: Of the Ray cluster; ``None`` starts one on this machine.
        time_limit: Seconds an item may take.
    """
    if engine == "local":
        return Pool(task, settings, workers=min(items, workers or core_count()), time_limit=time_limit)
    from vilaco.scan.ray_engine import RayPool

    return RayPool(task, settings, workers=workers, address=address, time_limit=time_limit)
