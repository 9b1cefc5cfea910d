"""The pictures of a stage, a batch a step: the user's images first, then forgeries, made ahead or on the spot."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from vilaco.data.forging import ForgedPictures, PictureBatch, RealPictures
from vilaco.data.loading import WeakRecord
from vilaco.data.records import TAMPERED
from vilaco.images import resize_pixels
from vilaco.matching import self_matches
from vilaco.method.residuals import BLOCK
from vilaco.training.makers import PictureSource, wait_for
from vilaco.training.picture_store import BatchStore, Measurer, ReusePlan, flipped

Looks = list[tuple[int, list[dict[str, torch.Tensor]]]]
StageBatch = dict[str, Any]
"""Tensors by name, and :data:`Looks` under ``looks`` where there are real pictures."""


class StagePictures:
    """Map-style data set of a step's number to its batch; the number alone fixes it.

    Args:
        source: What the forged pictures are made from.
        real: The user's images, if they are trained on.
        scales: At which a teacher looks at the tampered ones among them.
        store: Where makers put forged batches; ``None`` makes them on the spot, each used once.
        plan: Which batch of the store each step sees.
        measurer: What measures pictures that are not measured yet.
    """

    def __init__(
        self,
        source: PictureSource,
        real: Sequence[WeakRecord],
        *,
        scales: Sequence[float],
        store: BatchStore | None,
        plan: ReusePlan,
        measurer: Measurer,
    ) -> None:
        self.source, self.store, self.plan, self.measurer = source, store, plan, measurer
        self.scales = scales
        self.rank, self.world = 0, 1
        self._forge: ForgedPictures | None = None
        self._real = RealPictures(real, config=source.config, seed=source.seed) if real else None

    def __getitem__(self, step: int) -> StageBatch:
        """A step's batch, or this device's share of it.

        Returns:
            ``pixels`` (B, 3, H, W) and ``mask`` (B, H, W) uint8, ``matches`` (B, 5, h, w), ``label`` (B,); for pictures
            made ahead, which are the last ones, ``tokens`` and ``evidence``
            (:func:`~vilaco.training.picture_store.prepared`); for the others ``view`` (B, 3, S, S) uint8.
            With real pictures, which come first, ``looks``: for each tampered one its place in the batch, and
            ``pixels``, ``matches`` and ``view`` of it alone at each scale, for a teacher to look at.

        Raises:
            VilacoError: If a file it is made of cannot be read any more.
        """
        forged = self._made_on_the_spot(step) if self.store is None else self._made_ahead(step, self.store)
        forged = self._share(forged)
        if self._real is None:
            return forged
        size = (forged["pixels"].shape[2], forged["pixels"].shape[3])
        count = self.source.config.batch_size - self.source.count
        batch = self._real.batch(step, count, size)
        real = self._share(self._raw(batch))
        joined = {name: torch.cat([real[name], forged[name].to(real[name].dtype)]) for name in real.keys() & forged}
        return {**forged, **real, **joined, "looks": self._looks(batch)}

    def _looks(self, batch: PictureBatch) -> Looks:
        """What a teacher looks at, of this device's share of real pictures."""
        assert batch.unsaved is not None, "of real pictures it is kept"
        places = range(self.rank, len(batch.label), self.world)
        return [
            (place, [self._look(batch.unsaved[index].transpose(1, 2, 0), scale) for scale in self.scales])
            for place, index in enumerate(places)
            if batch.label[index] == TAMPERED
        ]

    def _look(self, pixels: np.ndarray, scale: float) -> dict[str, torch.Tensor]:
        """A picture (H, W, 3) at a scale, in whole blocks."""
        size = (
            max(1, round(scale * pixels.shape[0] / BLOCK)) * BLOCK,
            max(1, round(scale * pixels.shape[1] / BLOCK)) * BLOCK,
        )
        seen = resize_pixels(np.ascontiguousarray(pixels), size)
        view = resize_pixels(seen, (self.source.view_size, self.source.view_size))
        arrays = {"pixels": seen.transpose(2, 0, 1), "matches": self_matches(seen), "view": view.transpose(2, 0, 1)}
        return {name: torch.from_numpy(np.ascontiguousarray(array[None])) for name, array in arrays.items()}

    def _made_ahead(self, step: int, store: BatchStore) -> dict[str, torch.Tensor]:
        batch = wait_for(store, self.plan.number(step))
        across, down = np.random.default_rng([self.source.seed, 3, step]).random(2) < 0.5
        return flipped(batch, self.measurer, across=bool(across), down=bool(down))

    def _made_on_the_spot(self, step: int) -> dict[str, torch.Tensor]:
        self._forge = self._forge or self.source.forge()
        return self._raw(self._forge.batch(step, self.source.count))

    def _raw(self, batch: PictureBatch) -> dict[str, torch.Tensor]:
        size = (self.source.view_size, self.source.view_size)
        views = [resize_pixels(picture.transpose(1, 2, 0), size).transpose(2, 0, 1) for picture in batch.pixels]
        arrays = {"pixels": batch.pixels, "mask": batch.mask, "matches": batch.matches, "label": batch.label}
        return {name: torch.from_numpy(array) for name, array in {**arrays, "view": np.stack(views)}.items()}

    def _share(self, batch: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        return {name: value[self.rank :: self.world] for name, value in batch.items()}
