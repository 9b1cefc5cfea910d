"""Frozen features on disk: the encoder never changes, so each view of an image is encoded once.

A cached feature is keyed by everything it depends on: the encoder's fingerprint, the preprocessing, and the bytes of
the image file; changing any of them misses the cache instead of using a stale file.
"""

import hashlib
import io
import json
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from vilaco.data.loading import WeakImages
from vilaco.encoders.base import VisionLanguageEncoder
from vilaco.errors import DataError
from vilaco.files import write_atomically

ENCODE_BATCH = 16


def default_cache_root() -> Path:
    """``$VILACO_CACHE``, else ``vilaco`` under ``$XDG_CACHE_HOME`` or ``~/.cache``."""
    if path := os.environ.get("VILACO_CACHE"):
        return Path(path)
    return Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "vilaco"


class CachedFeatures:
    """Map-style data set of ``(image index, view)`` to the frozen encoder's patch features and the label.

    Args:
        images: Where views come from.
        encoder: The frozen encoder.
        root: Folder of the cache; may be shared by any number of runs.
    """

    def __init__(self, images: WeakImages, encoder: VisionLanguageEncoder, root: Path) -> None:
        self.images, self.encoder = images, encoder
        preprocessing = json.dumps([images.size, images.seed, images.config.model_dump()], sort_keys=True)
        key = hashlib.sha256(f"{encoder.fingerprint}|{preprocessing}".encode()).hexdigest()[:16]
        self.folder = root / "features" / key

    def file(self, index: int, view: int) -> Path:
        """Where the features of a view lie, once filled."""
        sha256 = self.images.records[index].sha256
        return self.folder / sha256[:2] / f"{sha256}-{view}.npy"

    def missing(self, num_views: int) -> list[tuple[int, int]]:
        """``(index, view)`` of all that is not on disk yet."""
        keys = [(index, view) for index in range(len(self.images)) for view in range(num_views)]
        return [key for key in keys if not self.file(*key).exists()]

    def fill(self, num_views: int, *, progress: Callable[[int], None] = lambda count: None) -> None:
        """Encode what is missing; each file is written whole, so an interrupted fill goes on where it stopped.

        Args:
            num_views: Views per image, the clean one included.
            progress: Called with the number of views just encoded.
        """
        missing = self.missing(num_views)
        device = next(self.encoder.parameters()).device
        for start in range(0, len(missing), ENCODE_BATCH):
            keys = missing[start : start + ENCODE_BATCH]
            pixels = np.stack([self.images.pixels(*key) for key in keys]).transpose(0, 3, 1, 2)
            batch = torch.from_numpy(np.ascontiguousarray(pixels)).to(device).float() / 255
            features = self.encoder.encode_patches(batch).half().cpu().numpy()
            for key, array in zip(keys, features, strict=True):
                buffer = io.BytesIO()
                np.save(buffer, array, allow_pickle=False)
                write_atomically(self.file(*key), buffer.getvalue())
            progress(len(keys))

    def __getitem__(self, key: tuple[int, int]) -> dict[str, np.ndarray | int]:
        """``patch_features`` as ``(N, D)`` float16, and ``label``.

        Raises:
            DataError: If the file of the view is damaged.
        """
        file = self.file(*key)
        try:
            with file.open("rb") as stream:
                features = np.lib.format.read_array(stream, allow_pickle=False)
        except (OSError, ValueError, EOFError) as error:
            raise DataError(f"{file}: damaged features; delete it, and the next run makes it anew") from error
        return {"patch_features": features, "label": self.images.records[key[0]].label}

    def __len__(self) -> int:
        return len(self.images)
