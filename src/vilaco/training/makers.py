"""Processes that make pictures in front of a training, at low priority."""

import multiprocessing
import os
import signal
import threading
import time
from dataclasses import dataclass
from multiprocessing.sharedctypes import Synchronized
from pathlib import Path
from types import TracebackType
from typing import Self

import cv2
import torch

from vilaco.data.forging import ForgedPictures, StreamConfig
from vilaco.encoders import EncoderConfig, load_encoder
from vilaco.errors import VilacoError
from vilaco.method.residuals import BlockEvidence, ResidualKind
from vilaco.training.picture_store import BatchStore, Measurer, prepared

NICE = 10
"""Makers take about a tenth of the processors beside a training, which is what they need, and all while it waits."""
PAUSE = 0.05
"""Seconds between two looks for something to do."""
FAULT = "fault.txt"


@dataclass(frozen=True)
class PictureSource:
    """Everything that fixes the pictures of a stage.

    Attributes:
        photos: Authentic photos to forge from.
        config: See :class:`~vilaco.data.forging.StreamConfig`.
        seed: Fixes every batch together with its number.
        count: Forged pictures in a batch.
        encoder: The frozen encoder.
        view_size: Side of its view, in pixels.
        kinds: Of the block measurements.
        segments: Folders of segmentations.
        autoencoder: Folder of one that re-draws regions.
        weights: How often each photo is a host.
    """

    photos: tuple[Path, ...]
    config: StreamConfig
    seed: int
    count: int
    encoder: EncoderConfig
    view_size: int
    kinds: tuple[ResidualKind, ...]
    segments: tuple[Path, ...] = ()
    autoencoder: Path | None = None
    weights: tuple[float, ...] | None = None

    def forge(self) -> ForgedPictures:
        """What makes the batches."""
        return ForgedPictures(
            self.photos,
            config=self.config,
            seed=self.seed,
            segments=self.segments,
            autoencoder=self.autoencoder,
            weights=self.weights,
        )

    def measurer(self) -> Measurer:
        """What measures them."""
        return Measurer(load_encoder(self.encoder), self.view_size, BlockEvidence(self.kinds))


class Makers:
    """Processes that keep a store filled; to be used in a ``with`` statement."""

    def __init__(self, source: PictureSource, store: BatchStore, *, count: int) -> None:
        self.store = store
        context = multiprocessing.get_context("spawn")
        self._first: Synchronized[int] = context.Value("q", 0)
        self._end: Synchronized[int] = context.Value("q", 0)
        store.folder.mkdir(parents=True, exist_ok=True)
        (store.folder / FAULT).unlink(missing_ok=True)
        self._over = threading.Event()
        self._watch = threading.Thread(target=self._tell_of_ends, daemon=True)
        self._processes = [
            context.Process(
                target=_make, args=(source, store, worker, count, self._first, self._end, os.getpid()), daemon=True
            )
            for worker in range(count)
        ]

    def want(self, numbers: range) -> None:
        """Have these made, the first ones first, and delete all others."""
        if (self._first.value, self._end.value) != (numbers.start, numbers.stop):
            self._first.value, self._end.value = numbers.start, numbers.stop
            self.store.forget_others(numbers)

    def __enter__(self) -> Self:
        for process in self._processes:
            process.start()
        self._watch.start()
        return self

    def _tell_of_ends(self) -> None:
        """Where a maker is gone without a word, as one killed for memory is, say so to whoever waits."""
        while not self._over.wait(1.0):
            ended = next((process for process in self._processes if process.exitcode is not None), None)
            if ended is not None and not (self.store.folder / FAULT).exists():
                reason = f"a process that makes pictures ended (exit code {ended.exitcode}); is memory short?"
                (self.store.folder / FAULT).write_text(reason)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._over.set()
        self._watch.join()
        for process in self._processes:
            process.terminate()
        for process in self._processes:
            process.join()


def make_batch(forge: ForgedPictures, measurer: Measurer, store: BatchStore, number: int, count: int) -> None:
    """Make one batch and put it into the store.

    Raises:
        ImageError: If a photo cannot be read any more.
    """
    batch = forge.batch(number, count)
    about = {"operations": batch.operations, "histories": batch.histories, "hosts": batch.hosts}
    store.write(number, prepared(batch, measurer), about)


def wait_for(store: BatchStore, number: int) -> dict[str, torch.Tensor]:
    """A batch, as soon as it is made.

    Raises:
        VilacoError: Where what makes them says that it cannot.
    """
    while (found := store.read(number)) is None:
        if store.path(number).exists():
            store.path(number).unlink(missing_ok=True)  # damaged: made anew
        fault = store.folder / FAULT
        if fault.exists():
            raise VilacoError(fault.read_text())
        time.sleep(PAUSE)
    return found[0]


def _make(
    source: PictureSource,
    store: BatchStore,
    worker: int,
    workers: int,
    first: "Synchronized[int]",
    end: "Synchronized[int]",
    parent: int,
) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the trainer ends its makers
    os.nice(NICE)
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    try:
        forge, measurer = source.forge(), source.measurer()
        while os.getppid() == parent:
            wanted = range(first.value, end.value)
            missing = (number for number in wanted if number % workers == worker and not store.path(number).exists())
            number = next(missing, None)
            if number is None:
                time.sleep(PAUSE)
            else:
                make_batch(forge, measurer, store, number, source.count)
    except VilacoError as error:
        (store.folder / FAULT).write_text(str(error))
    except OSError as error:
        (store.folder / FAULT).write_text(f"{error.filename or store.folder}: {error.strerror or error}")
