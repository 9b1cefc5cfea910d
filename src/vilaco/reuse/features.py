"""What a picture is looked up by: keypoints, and descriptors that light, size and turns do not change.

SIFT (Lowe, IJCV 2004) with the square root of Arandjelovic and Zisserman (CVPR 2012, "RootSIFT"). The mirror image of a
patch has the same descriptor with its entries in another order, so that one search can find mirrored copies too: each
descriptor is filed under the one of the two orders in which its gradients turn left (the idea of Zhao and Ngo,
"Flip-invariant SIFT", IEEE TIP 2013, with a simpler sign).
"""

from dataclasses import dataclass
from typing import Any, Self

import cv2
import numpy as np
from numpy.typing import NDArray

from vilaco.images import resize_pixels

Floats = NDArray[np.float32]

MAX_PIXELS = 800_000
"""Larger pictures are looked at reduced."""
MAX_KEYPOINTS = 2500
"""The strongest are kept: about 25 on 64 x 64 pixels of a photo of 0.4 megapixels."""
OCTAVE_LAYERS, CONTRAST = 3, 0.005
DIMENSIONS = 128
QUANTUM = 255.0 / 0.5
"""Entries of a RootSIFT are seldom above 0.5; so they fill a byte."""

_ORDER = np.arange(DIMENSIONS).reshape(4, 4, 8)  # rows, columns, directions, as OpenCV lays them out
MIRRORED = _ORDER[::-1][:, :, -np.arange(8) % 8].ravel()
"""``descriptors[:, MIRRORED]`` are those of the mirrored patches."""
_TURN = np.broadcast_to(np.sin(np.arange(8) * np.pi / 4), (4, 4, 8)).ravel().astype(np.float32)  # odd under MIRRORED


@dataclass(frozen=True, slots=True, eq=False)
class Features:
    """Keypoints of one picture.

    Attributes:
        points: x, y, diameter in pixels of the upright picture, and angle in degrees; shape ``(N, 4)``.
        descriptors: RootSIFT times `QUANTUM`, shape ``(N, 128)`` uint8.
    """

    points: Floats
    descriptors: NDArray[np.uint8]

    def to_bytes(self) -> bytes:
        """Points, then descriptors."""
        return self.points.astype("<f4").tobytes() + self.descriptors.tobytes()

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        """The way back from `to_bytes`.

        Raises:
            ValueError: If these are no such bytes.
        """
        count, rest = divmod(len(data), 16 + DIMENSIONS)
        if rest:
            raise ValueError(f"{len(data)} bytes are no keypoints.")
        points = np.frombuffer(data, "<f4", count * 4).reshape(-1, 4)
        return cls(points, np.frombuffer(data, np.uint8, offset=count * 16).reshape(-1, DIMENSIONS))

    def unit(self) -> Floats:
        """The descriptors at length 1."""
        values = self.descriptors.astype(np.float32)
        return np.asarray(values / np.maximum(np.linalg.norm(values, axis=1, keepdims=True), 1e-6))


def extract(pixels: NDArray[np.uint8]) -> Features:
    """Find the keypoints of a picture.

    Args:
        pixels: Upright, RGB, shape ``(H, W, 3)``.

    Example:
        >>> len(extract(np.zeros((20, 30, 3), np.uint8)).points)
        0
    """
    grey, factor = reduced_grey(pixels, MAX_PIXELS)
    sift: Any = cv2.SIFT.create(
        nfeatures=MAX_KEYPOINTS,
        nOctaveLayers=OCTAVE_LAYERS,
        contrastThreshold=CONTRAST,
        enable_precise_upscale=True,
    )
    keypoints, descriptors = sift.detectAndCompute(grey, None)
    keypoints = keypoints[:MAX_KEYPOINTS]  # OpenCV keeps a few more where responses are equal
    if not keypoints:
        return Features(np.zeros((0, 4), np.float32), np.zeros((0, DIMENSIONS), np.uint8))
    points = np.array([(*key.pt, key.size, key.angle) for key in keypoints], np.float32)
    points[:, :2] = (points[:, :2] + 0.5) / factor - 0.5
    points[:, 2] /= factor
    descriptors = descriptors[:MAX_KEYPOINTS]
    rooted = np.sqrt(descriptors / np.maximum(descriptors.sum(axis=1, keepdims=True), 1e-6))
    return Features(points, np.clip(np.rint(rooted * QUANTUM), 0, 255).astype(np.uint8))


def reduced_grey(pixels: NDArray[np.uint8], most: int) -> tuple[NDArray[np.uint8], float]:
    """Grey levels, reduced to at most so many pixels, and the factor by which sides shrank.

    Args:
        pixels: RGB, shape ``(H, W, 3)``.
        most: Pixels.
    """
    height, width = pixels.shape[:2]
    factor = min(1.0, float(np.sqrt(most / (height * width))))
    if factor < 1.0:
        pixels = resize_pixels(pixels, (max(1, round(height * factor)), max(1, round(width * factor))))
    return np.asarray(cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY), np.uint8), factor


def canonical(features: Features) -> tuple[Floats, NDArray[np.bool_]]:
    """Descriptors at length 1 in the order under which they are filed, and which of them were mirrored for it."""
    unit = features.unit()
    mirrored = unit @ _TURN < 0
    unit[mirrored] = unit[mirrored][:, MIRRORED]
    return unit, mirrored
