"""Loaders for images that can become unreadable while training runs: what is wrong reaches the trainer as it is.

A process that loads cannot raise our errors in the trainer: PyTorch builds new ones from a traceback's text. So an
error takes the place of its example, then of its batch, and is raised where the batch arrives.
"""

import signal
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import lightning as L
from torch.utils.data import DataLoader, Dataset, default_collate

from vilaco.errors import VilacoError


class Examples(Protocol):
    """Map-style data set of tensors or arrays by name."""

    def __getitem__(self, key: Any) -> dict[str, Any]:
        """One example."""
        ...


class _ErrorsAsExamples(Dataset[dict[str, Any] | VilacoError]):
    def __init__(self, examples: Examples) -> None:
        self.examples = examples

    def __getitem__(self, key: Any) -> dict[str, Any] | VilacoError:
        try:
            return self.examples[key]
        except VilacoError as error:
            return error


def _collate(examples: Sequence[dict[str, Any] | VilacoError]) -> Any:
    for example in examples:
        if isinstance(example, VilacoError):
            return example
    return default_collate(list(examples))


def _leave_interrupts_to_the_trainer(_worker: int) -> None:
    """A terminal's Ctrl-C reaches every process; those that load go on until the trainer ends them."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def whole(examples: Sequence[Any]) -> Any:
    """The collation of examples that are batches already."""
    return examples[0]


def make_loader(
    examples: Examples,
    batches: Sequence[Sequence[Any]],
    *,
    num_workers: int,
    collate: Callable[[Sequence[Any]], Any] = _collate,
) -> DataLoader:
    """Loader of planned batches; one with an image that cannot be read is the `VilacoError` that says so."""
    return DataLoader(
        _ErrorsAsExamples(examples),
        batch_sampler=batches,  # type: ignore[arg-type]
        num_workers=num_workers,
        collate_fn=collate,
        worker_init_fn=_leave_interrupts_to_the_trainer,
    )


class PlannedBatches(L.LightningDataModule):
    """Base of what gives the trainer loaders of :func:`make_loader`."""

    def on_before_batch_transfer(self, batch: Any, dataloader_idx: int) -> Any:
        """Raise what took a batch's place.

        Raises:
            VilacoError: The error of the batch's first image that could not be read.
        """
        if isinstance(batch, VilacoError):
            raise batch
        return batch
