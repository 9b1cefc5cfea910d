"""The pictures of a stage, a batch a step: the user's images first, then forgeries, made ahead or on the spot."""

from collections.abc import Sequence

import numpy as np
import torch

from vilaco.data.forging import ForgedPictures, PictureBatch, RealImage, RealPictures
from vilaco.images import resize_pixels
from vilaco.training.makers import PictureSource, wait_for
from vilaco.training.picture_store import BatchStore, Measurer, ReusePlan, flipped


class StagePictures:
    """Map-style data set of a step's number to its batch; the number alone fixes it.

    Args:
        source: What the forged pictures are made from.
        real: The user's images, if they are trained on.
        store: Where makers put forged batches; ``None`` makes them on the spot, each used once.
        plan: Which batch of the store each step sees.
        measurer: What measures pictures that are not measured yet.
    """

    def __init__(
        self,
        source: PictureSource,
        real: Sequence[RealImage],
        *,
        store: BatchStore | None,
        plan: ReusePlan,
        measurer: Measurer,
    ) -> None:
        self.source, self.store, self.plan, self.measurer = source, store, plan, measurer
        self.rank, self.world = 0, 1
        self._forge: ForgedPictures | None = None
        self._real = RealPictures(real, config=source.config, seed=source.seed) if real else None

    def __getitem__(self, step: int) -> dict[str, torch.Tensor]:
        """A step's batch, or this device's share of it.

        Returns:
            ``pixels`` (B, 3, H, W) and ``mask`` (B, H, W) uint8, ``matches`` (B, 5, h, w), ``label`` (B,); for pictures
            made ahead, which are the last ones, ``tokens`` and ``evidence``
            (:func:`~vilaco.training.picture_store.prepared`); for the others ``view`` (B, 3, S, S) uint8.

        Raises:
            VilacoError: If a file it is made of cannot be read any more.
        """
        forged = self._made_on_the_spot(step) if self.store is None else self._made_ahead(step, self.store)
        forged = self._share(forged)
        if self._real is None:
            return forged
        size = (forged["pixels"].shape[2], forged["pixels"].shape[3])
        count = self.source.config.batch_size - self.source.count
        real = self._share(self._raw(self._real.batch(step, count, size)))
        joined = {name: torch.cat([real[name], forged[name].to(real[name].dtype)]) for name in real.keys() & forged}
        return {**forged, **real, **joined}

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
