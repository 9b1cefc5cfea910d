"""Image in, :class:`~vilaco.result.Result` out: the one path that every command, page and table goes through."""

import time
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path

import numpy as np

from vilaco.images import Photo, load_photo, resize_map, resize_pixels
from vilaco.result import Result
from vilaco.runtimes import Runtime
from vilaco.weights import DEFAULT, find_model


class Localizer:
    """Say of a photo whether it was tampered with, and where.

    Args:
        runtime: A loaded model.
        name: What results call the model.

    Example:
        >>> from vilaco import Localizer
        >>> localizer = Localizer.load()  # doctest: +SKIP
        >>> localizer("photo.jpg").label  # doctest: +SKIP
        1
    """

    def __init__(self, runtime: Runtime, *, name: str) -> None:
        self.runtime = runtime
        self.name = name

    @classmethod
    def load(cls, name: str | Path = DEFAULT, *, device: str | None = None) -> "Localizer":
        """Load a model.

        Args:
            name: A shipped model's name, a folder, or a hub name ``org/name[@revision]``.
            device: A torch device; a GPU when there is one, else the CPU.

        Raises:
            ModelError: If the model, or the encoder it was trained on, is not to be had.
        """
        model = find_model(name)
        from vilaco.runtimes.torch import TorchRuntime

        return cls(TorchRuntime.load(model.folder, device=device), name=model.name)

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the trained weights."""
        return self.runtime.fingerprint

    @property
    def encoder_name(self) -> str:
        """The frozen encoder; part of every number."""
        return self.runtime.encoder_name

    def __call__(self, source: str | Path | bytes | np.ndarray) -> Result:
        """Judge one photo.

        Args:
            source: A file, its bytes, or RGB pixels ``(H, W, 3)`` uint8.

        Raises:
            ImageError: If it cannot be read.
        """
        started = time.perf_counter()
        photo = load_photo(source)
        return self._predict([photo], [time.perf_counter() - started])[0]

    def predict(self, photo: Photo) -> Result:
        """Judge a photo that is already decoded."""
        return self._predict([photo], [0.0])[0]

    def predict_many(self, photos: Iterable[Photo], *, batch_size: int = 8) -> Iterator[Result]:
        """Judge photos a batch at a time, in order; at most one batch is held in memory."""
        iterator = iter(photos)
        while batch := list(islice(iterator, batch_size)):
            yield from self._predict(batch, [0.0] * len(batch))

    def _predict(self, photos: list[Photo], seconds_before: list[float]) -> list[Result]:
        started = time.perf_counter()
        side = (self.runtime.image_size, self.runtime.image_size)
        output = self.runtime(np.stack([resize_pixels(photo.upright(photo.pixels), side) for photo in photos]))
        maps = np.exp(-np.logaddexp(0.0, -output.localization_logits))  # a sigmoid that never overflows
        share = (time.perf_counter() - started) / len(photos)
        return [
            Result.from_map(
                photo,
                np.clip(resize_map(map_, photo.upright_size), 0.0, 1.0),
                float(score),
                model=f"{self.name}@{self.fingerprint[:12]}",
                seconds=round(before + share, 4),
            )
            for photo, map_, score, before in zip(photos, maps, output.detection_scores, seconds_before, strict=True)
        ]
