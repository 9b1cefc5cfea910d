"""From camera to web: what happens to a picture around a forgery, and to one that was never forged.

A history is drawn before the label and before anything about the forgery, from random numbers of its own. So
saves, crops and re-scalings have one distribution for authentic and tampered pictures and for every
operation.
"""

from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np

from vilaco.data.forge.config import ForgeConfig
from vilaco.data.forge.shapes import Frame, pick
from vilaco.images import Subsampling, encode_jpeg

EDITS = ("contrast", "gamma", "saturation", "warmth", "sharpen", "blur", "grain")
METHODS = {
    "area": cv2.INTER_AREA,
    "linear": cv2.INTER_LINEAR,
    "cubic": cv2.INTER_CUBIC,
    "lanczos": cv2.INTER_LANCZOS4,
}
MAX_CROP = 15
"""Pixels: moves the 8-pixel JPEG grid (and the 16-pixel one of subsampled chroma) to any place."""
AVIF_SPEED = 8
"""Of 0 to 10, the fastest."""
MIN_SIDE = 64
"""Pixels a side that a finished picture keeps, whatever the resize factor drawn."""


@dataclass(frozen=True)
class Jpeg:
    """One save as JPEG."""

    quality: int
    subsampling: Subsampling

    def save(self, pixels: np.ndarray) -> np.ndarray:
        """What is left of ``(H, W, 3)`` uint8 RGB pixels after this save."""
        return decode(encode_jpeg(np.ascontiguousarray(pixels), self.quality, subsampling=self.subsampling))

    def __str__(self) -> str:
        return f"jpeg {self.quality} {self.subsampling}"


@dataclass(frozen=True)
class Modern:
    """One save as lossy WebP or AVIF, with subsampled chroma."""

    form: Literal["webp", "avif"]
    quality: int

    def save(self, pixels: np.ndarray) -> np.ndarray:
        """What is left of ``(H, W, 3)`` uint8 RGB pixels after this save."""
        bgr = cv2.cvtColor(np.ascontiguousarray(pixels), cv2.COLOR_RGB2BGR)
        options = [cv2.IMWRITE_WEBP_QUALITY, self.quality]
        if self.form == "avif":
            options = [cv2.IMWRITE_AVIF_QUALITY, self.quality, cv2.IMWRITE_AVIF_SPEED, AVIF_SPEED]
        return decode(bytes(cv2.imencode(f".{self.form}", bgr, options)[1]))

    def __str__(self) -> str:
        return f"{self.form} {self.quality}"


@dataclass(frozen=True)
class Edit:
    """One innocent edit of the whole picture; ``strength`` in [-1, 1], 0 for none. ``seed`` is for grain."""

    kind: str
    strength: float
    seed: int

    def __str__(self) -> str:
        return f"{self.kind} {self.strength:+.2f}"


@dataclass(frozen=True)
class PassedOn:
    """What happens to a picture that somebody takes from where it was published, and publishes again.

    Attributes:
        size: (height, width) at which it was published first.
        method: Interpolation to the finished size.
        save: The messenger's JPEG; ``None`` for a screenshot.
    """

    size: tuple[int, int]
    method: str
    save: Jpeg | None


@dataclass(frozen=True)
class History:
    """Everything that happens to a picture besides the forgery, in this order.

    Attributes:
        canvas: (height, width) in pixels on which the forgery happens.
        camera: The camera's own JPEG, before the forgery.
        edit: Edit of the whole picture, after the forgery.
        editor_save: JPEG on the forgery's own grid.
        crop: Pixels cut off at top, bottom, left and right.
        size: (height, width) of the finished picture.
        method: Interpolation where the published size differs from what the crop leaves.
        web_save: JPEG, WebP or AVIF at the published size.
        passed_on: What followed where ``size`` is not the published one, or not by this alone.
        final: The file: a JPEG, or ``None`` for PNG.
    """

    canvas: tuple[int, int]
    camera: Jpeg | None
    edit: Edit | None
    editor_save: Jpeg | None
    crop: tuple[int, int, int, int]
    size: tuple[int, int]
    method: str
    web_save: Jpeg | Modern | None
    passed_on: PassedOn | None
    final: Jpeg | None

    @property
    def frame(self) -> Frame:
        """The part of the canvas that survives the crop."""
        top, bottom, left, right = self.crop
        return Frame(top, left, self.canvas[0] - top - bottom, self.canvas[1] - left - right)

    @property
    def published_size(self) -> tuple[int, int]:
        """(height, width) of the picture where it was published first."""
        return self.size if self.passed_on is None else self.passed_on.size

    def shoot(self, pixels: np.ndarray) -> np.ndarray:
        """The picture as it left the camera, ``(H, W, 3)`` uint8, before any forgery."""
        return pixels if self.camera is None else self.camera.save(pixels)

    def publish(self, pixels: np.ndarray) -> tuple[bytes, str]:
        """Take a picture from the editor to the web.

        Args:
            pixels: Forged or not, ``canvas`` + (3,), uint8 RGB.

        Returns:
            The finished file's bytes and its suffix, ``".jpg"`` or ``".png"``.
        """
        if self.edit is not None:
            pixels = apply_edit(pixels, self.edit)
        if self.editor_save is not None:
            pixels = self.editor_save.save(pixels)
        pixels = _resized(self._cropped(pixels), self.published_size, self.method)
        if self.web_save is not None:
            pixels = self.web_save.save(pixels)
        if self.passed_on is not None:
            pixels = _resized(pixels, self.size, self.passed_on.method)
            pixels = pixels if self.passed_on.save is None else self.passed_on.save.save(pixels)
        pixels = np.ascontiguousarray(pixels)
        if self.final is not None:
            return encode_jpeg(pixels, self.final.quality, subsampling=self.final.subsampling), ".jpg"
        return encode_png(pixels), ".png"

    def publish_mask(self, mask: np.ndarray) -> np.ndarray:
        """Take the mask through the same crop and size; a pixel stays tampered where at least half of it was.

        Args:
            mask: Shape ``canvas``, bool.

        Returns:
            Shape ``size``, bool.
        """
        mask = self._cropped(mask)
        if mask.shape == self.size:
            return mask.copy()
        method = cv2.INTER_AREA if self.size[0] < mask.shape[0] else cv2.INTER_LINEAR
        return np.asarray(cv2.resize(mask.view(np.uint8) * 255, self.size[::-1], interpolation=method) >= 128)

    def steps(self) -> tuple[str, ...]:
        """The history in words, such as ``("camera jpeg 93 4:2:2", "final jpeg 80 4:2:0")``."""
        steps = [] if self.camera is None else [f"camera {self.camera}"]
        steps += [] if self.edit is None else [f"edit {self.edit}"]
        steps += [] if self.editor_save is None else [f"editor {self.editor_save}"]
        steps += ["crop " + " ".join(map(str, self.crop))] if any(self.crop) else []
        size = (self.frame.height, self.frame.width)
        steps += _resizing(size, self.published_size, self.method)
        steps += [] if self.web_save is None else [f"web {self.web_save}"]
        if self.passed_on is not None:
            steps += _resizing(self.published_size, self.size, self.passed_on.method)
            steps.append("screenshot" if self.passed_on.save is None else f"messenger {self.passed_on.save}")
        steps.append("final png" if self.final is None else f"final {self.final}")
        return tuple(steps)

    def _cropped(self, array: np.ndarray) -> np.ndarray:
        frame = self.frame
        return array[frame.top : frame.top + frame.height, frame.left : frame.left + frame.width]


def draw_history(photo_size: tuple[int, int], rng: np.random.Generator, config: ForgeConfig) -> History:
    """Draw a history for a picture from a photo of this size.

    Args:
        photo_size: (height, width) of the photo in pixels.
        rng: Random numbers used for nothing else.
        config: Shares and ranges; with ``config.size`` every history ends at that size, and the canvas
            follows from it.

    Returns:
        The history. With a fixed size, reductions that the photo has not the pixels for are weakened, the last first.
    """
    camera = _draw_jpeg(rng, 80, 99) if rng.random() < config.camera_share else None
    edit = None
    if rng.random() < config.edit_share:
        edit = Edit(str(rng.choice(EDITS)), float(rng.uniform(-1.0, 1.0)), int(rng.integers(2**31)))
    editor_save = _draw_jpeg(rng, 75, 100) if rng.random() < config.editor_save_share else None
    crop = (0, 0, 0, 0)
    if rng.random() < config.crop_share:
        top, bottom, left, right = (int(pixels) for pixels in rng.integers(1, MAX_CROP + 1, 4))
        crop = (top, bottom, left, right)
    factor = 1.0
    if rng.random() < config.resize_share:
        factor = float(np.exp(rng.uniform(np.log(config.min_resize), np.log(config.max_resize))))
    method = pick(rng, tuple(METHODS), (0.35, 0.25, 0.3, 0.1))
    web_save: Jpeg | Modern | None = _draw_jpeg(rng, 60, 96) if rng.random() < config.web_save_share else None
    if config.webp_share and rng.random() < config.webp_share:
        web_save = Modern("webp", int(rng.integers(60, 96)))
    if config.avif_share and rng.random() < config.avif_share:
        web_save = Modern("avif", int(rng.integers(45, 91)))
    final = (
        None if rng.random() < config.png_share else _draw_jpeg(rng, *((88, 100) if rng.random() < 0.5 else (60, 95)))
    )
    again, passing = 1.0, None
    if config.passed_on_share and rng.random() < config.passed_on_share:
        again, passing = _draw_passing(rng)

    trimmed = (crop[0] + crop[1], crop[2] + crop[3])
    if config.size is not None:
        size = config.size
        room = min((side - cut) / wanted for side, cut, wanted in zip(photo_size, trimmed, size, strict=True))
        least = 1.0 / max(1.0, room)
        again = max(again, min(1.0, least / factor))
        factor = max(factor, least / again)
        inner = (round(size[0] / (factor * again)), round(size[1] / (factor * again)))
        canvas = (inner[0] + trimmed[0], inner[1] + trimmed[1])
    else:
        if min(photo_size[0] - trimmed[0], photo_size[1] - trimmed[1]) < MIN_SIDE:
            crop, trimmed = (0, 0, 0, 0), (0, 0)
        canvas = photo_size
        inner = (canvas[0] - trimmed[0], canvas[1] - trimmed[1])
        factor = max(factor, min(1.0, MIN_SIDE / min(inner)))
        size = _scaled(inner, factor * again)
    passed_on = None
    if passing is not None:
        published = _scaled(size, 1.0 / again) if config.size is not None else _scaled(inner, factor)
        passed_on = PassedOn(published, *passing)
    return History(canvas, camera, edit, editor_save, crop, size, method, web_save, passed_on, final)


def _draw_passing(rng: np.random.Generator) -> tuple[float, tuple[str, Jpeg | None]]:
    """By how much a picture is re-scaled that is passed on, how, and what the messenger saves: mostly shrunk."""
    again = 1.0
    if rng.random() < 0.75:
        again = float(np.exp(rng.uniform(np.log(0.5), 0.0) if rng.random() < 0.8 else rng.uniform(0.0, np.log(1.6))))
    save = _draw_jpeg(rng, 70, 85) if rng.random() < 0.7 else None
    return again, (pick(rng, tuple(METHODS), (0.35, 0.3, 0.25, 0.1)), save and Jpeg(save.quality, "4:2:0"))


def draw_camera(rng: np.random.Generator, config: ForgeConfig) -> Jpeg | None:
    """The camera's JPEG of a splice's donor: drawn like the host's own."""
    return _draw_jpeg(rng, 80, 99) if rng.random() < config.camera_share else None


def apply_edit(pixels: np.ndarray, edit: Edit) -> np.ndarray:
    """Edit a whole picture, as one does before posting it.

    Args:
        pixels: Shape ``(H, W, 3)``, uint8 RGB.
        edit: What and how strongly.

    Returns:
        The edited picture, like ``pixels``.

    Example:
        >>> grey = np.full((1, 1, 3), 100, np.uint8)
        >>> apply_edit(grey, Edit("warmth", 1.0, seed=0)).tolist()
        [[[111, 100, 90]]]
    """
    levels, strength = np.arange(256, dtype=np.float64), edit.strength
    if edit.kind == "contrast":
        return _through(pixels, (levels - 128.0) * (1.0 + 0.2 * strength) + 128.0)
    if edit.kind == "gamma":
        return _through(pixels, 255.0 * (levels / 255.0) ** np.exp(0.3 * strength))
    if edit.kind == "warmth":
        gains = np.exp(0.1 * strength * np.array([1.0, 0.0, -1.0]))
        return _through(pixels, levels[:, None] * gains)
    if edit.kind == "saturation":
        grey = cv2.cvtColor(cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
        return np.asarray(cv2.addWeighted(pixels, 1.0 + 0.35 * strength, grey, -0.35 * strength, 0.0))
    if edit.kind == "sharpen":
        amount = 0.2 + 0.4 * abs(strength)
        return np.asarray(cv2.addWeighted(pixels, 1.0 + amount, cv2.GaussianBlur(pixels, (0, 0), 1.0), -amount, 0.0))
    if edit.kind == "blur":
        return np.asarray(cv2.GaussianBlur(pixels, (0, 0), 0.35 + 0.45 * abs(strength)))
    assert edit.kind == "grain", edit.kind
    grain = np.random.default_rng(edit.seed).standard_normal(pixels.shape[:2], dtype=np.float32)
    grain = np.rint(grain * np.float32(1.0 + 2.0 * abs(strength))).astype(np.int16)
    return np.clip(pixels + grain[..., None], 0, 255).astype(np.uint8)


def _scaled(size: tuple[int, int], factor: float) -> tuple[int, int]:
    if factor == 1.0:
        return size
    return max(MIN_SIDE, round(size[0] * factor)), max(MIN_SIDE, round(size[1] * factor))


def _resized(pixels: np.ndarray, size: tuple[int, int], method: str) -> np.ndarray:
    if pixels.shape[:2] == size:
        return pixels
    return np.asarray(cv2.resize(pixels, size[::-1], interpolation=METHODS[method]))


def _resizing(before: tuple[int, int], after: tuple[int, int], method: str) -> list[str]:
    """A step in words, if it is one."""
    return [] if before == after else [f"resize {after[0]}x{after[1]} {method}"]


def encode_png(pixels: np.ndarray) -> bytes:
    """PNG bytes of an RGB ``(H, W, 3)`` or grey ``(H, W)`` uint8 array, without metadata."""
    bgr = pixels if pixels.ndim == 2 else cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR)
    options = [cv2.IMWRITE_PNG_STRATEGY, cv2.IMWRITE_PNG_STRATEGY_RLE]
    if pixels.ndim == 3:  # deflate's search for repeats finds next to nothing in a photo and takes half of the time
        options = [cv2.IMWRITE_PNG_STRATEGY, cv2.IMWRITE_PNG_STRATEGY_HUFFMAN_ONLY]
        options += [cv2.IMWRITE_PNG_FILTER, cv2.IMWRITE_PNG_FILTER_SUB]
    return bytes(cv2.imencode(".png", bgr, options)[1])


def decode(encoded: bytes) -> np.ndarray:
    """Pixels of a file this module wrote, ``(H, W, 3)`` uint8 RGB."""
    return np.asarray(cv2.imdecode(np.frombuffer(encoded, np.uint8), cv2.IMREAD_COLOR_RGB))


def _through(pixels: np.ndarray, levels: np.ndarray) -> np.ndarray:
    """Send every value through a table of 256 levels, one for all channels or ``(256, 3)``."""
    table = np.clip(np.rint(levels), 0, 255).astype(np.uint8)
    return np.asarray(cv2.LUT(pixels, table[None] if table.ndim == 2 else table))


def _draw_jpeg(rng: np.random.Generator, low: int, high: int) -> Jpeg:
    """Qualities uniform in [low, high]; 4:2:0 is what most encoders default to."""
    kinds: tuple[Subsampling, ...] = ("4:2:0", "4:2:2", "4:4:4")
    return Jpeg(int(rng.integers(low, high + 1)), pick(rng, kinds, (0.6, 0.15, 0.25)))
