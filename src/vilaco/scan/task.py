"""What the engines of this room do to each item of a collection: the contract that all such work shares."""

from abc import ABC, abstractmethod
from importlib import import_module
from typing import Any, Generic, Self, TypeVar

from pydantic import BaseModel

from vilaco.scan.sources import Item

SettingsT = TypeVar("SettingsT", bound=BaseModel)
AnswerT = TypeVar("AnswerT", bound=BaseModel)


class Task(ABC, Generic[SettingsT, AnswerT]):
    """One item in, one answer out, and never an exception; in two steps, so that one is read beside another's work.

    It is made anew in each worker process from its settings alone, and writes no file.

    Attributes:
        settings_type: What it is made from.
        answer_type: What it answers; travels between processes and machines as one line of JSON.
        noun: What the workers are said to work for, in errors.
    """

    settings_type: type[SettingsT]
    answer_type: type[AnswerT]
    noun: str

    @abstractmethod
    def __init__(self, settings: SettingsT) -> None: ...

    def __call__(self, item: Item) -> AnswerT:
        """Both steps."""
        return self.work(self.read(item))

    @abstractmethod
    def read(self, item: Item) -> Any:
        """Read and decode; never raises."""

    @abstractmethod
    def work(self, read: Any) -> AnswerT:
        """Do what is to be done with what was read; never raises."""

    @classmethod
    @abstractmethod
    def failed(cls, item: Item, settings: SettingsT, code: str, reason: str) -> AnswerT:
        """The answer for an item that no worker lived to answer for: an error code and the reason in words."""

    @classmethod
    def address(cls) -> str:
        """Where another process finds this class."""
        return f"{cls.__module__}:{cls.__qualname__}"

    @classmethod
    def from_json(cls, settings: str | bytes) -> Self:
        """Make one from its settings, as they travel."""
        return cls(cls.settings_type.model_validate_json(settings))


def find_task(address: str) -> type[Task[Any, Any]]:
    """The class of an :meth:`Task.address`.

    Example:
        >>> find_task("vilaco.scan.judge:Judge").noun
        'scan'
    """
    module, _, name = address.partition(":")
    found: type[Task[Any, Any]] = getattr(import_module(module), name)
    return found


def surprise(error: Exception) -> tuple[str, str]:
    """Code and reason of an error that nobody planned for."""
    if isinstance(error, MemoryError):
        return "out_of_memory", "needs more memory than there is"
    return "failed", f"{type(error).__name__}: {' '.join(str(error).split())}"
