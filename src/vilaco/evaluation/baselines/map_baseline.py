"""What the untrained methods share: a map of the stored pixels becomes a prediction."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vilaco.evaluation.prediction import Prediction
from vilaco.images import Photo

TOP_SHARE = 1 / 16


def top_share_mean(localization_map: NDArray[np.float32]) -> float:
    """Image score of a map: the mean of its largest sixteenth (at least one pixel).

    The share is that of the coarse head's top K, so that trained and untrained methods pool alike.

    Args:
        localization_map: Shape ``(H, W)``, values in [0, 1].

    Returns:
        A score in [0, 1].

    Example:
        >>> top_share_mean(np.eye(4, dtype=np.float32))  # one pixel of sixteen
        1.0
        >>> top_share_mean(np.eye(8, dtype=np.float32) / 2)
        0.5
    """
    values = localization_map.ravel()
    count = max(1, round(TOP_SHARE * values.size))
    top = np.partition(values, values.size - count)[values.size - count :]
    return min(1.0, float(top.mean(dtype=np.float64)))


@dataclass(frozen=True, slots=True)
class MapBaseline:
    """An untrained method: a pure function from stored pixels to a map, and how that map is pooled.

    Forensic traces live on the stored pixel grid, so the map is computed there and then turned upright.

    Attributes:
        name: What the tables call it.
        compute: ``(H, W, 3)`` uint8 RGB to ``(H, W)`` float32 in [0, 1], 1 is tampered.
        pool: From the map to the image score.
    """

    name: str
    compute: Callable[[NDArray[np.uint8]], NDArray[np.float32]]
    pool: Callable[[NDArray[np.float32]], float] = top_share_mean

    def __call__(self, photo: Photo) -> Prediction:
        """Judge one photo; the map has the photo's upright size."""
        upright = np.ascontiguousarray(photo.upright(self.compute(photo.pixels)), dtype=np.float32)
        return Prediction(upright, self.pool(upright))
