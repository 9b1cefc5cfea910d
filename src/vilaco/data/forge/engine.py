"""One picture from a seed: authentic or tampered, through one and the same path."""

from dataclasses import dataclass, replace

import cv2
import numpy as np

from vilaco.data.forge.blending import Patch, blend
from vilaco.data.forge.config import ForgeConfig
from vilaco.data.forge.history import History, decode, draw_camera, draw_history
from vilaco.data.forge.lettering import write
from vilaco.data.forge.photos import PhotoPool, View, draw_view
from vilaco.data.forge.removal import remove
from vilaco.data.forge.retouch import retouch
from vilaco.data.forge.shapes import draw_shape, pick
from vilaco.data.forge.transplant import transplant
from vilaco.data.records import TAMPERED
from vilaco.errors import DataError

OPERATIONS = ("copy-move", "splice", "removal", "retouch", "text", "redraw")
ATTEMPTS = 8
MIN_CHANGED = 0.5
"""Least share of mask pixels that really differ from the host: a patch of sky moved within the sky is no
forgery."""
MIN_DIFFERENCE = 1.0
"""Least mean absolute difference within the mask, in grey levels."""
MAX_EDITS = 3
MIN_PIXELS = 24
"""Least mask pixels in the finished picture."""


@dataclass(frozen=True)
class Scene:
    """What a picture is before it has a label.

    Attributes:
        view: A view of the host as it left the camera.
        history: What will happen to it.
    """

    view: View
    history: History


@dataclass(frozen=True)
class Forgery:
    """A forgery on its canvas, before its history.

    Attributes:
        pixels: Shape ``(H, W, 3)``, uint8 RGB; bit-identical to the host outside ``mask``.
        mask: What was changed, ``(H, W)`` bool. For copy-move the pasted copy only; its source is authentic.
        operation: One of :data:`OPERATIONS`, for a retouch followed by its method, e.g. ``"retouch blur"``.
        shape: Where the outline comes from.
        donor: The photo that a splice took from, its index in the pool.
    """

    pixels: np.ndarray
    mask: np.ndarray
    operation: str
    shape: str
    donor: int | None


@dataclass(frozen=True)
class Example:
    """A finished picture as it would be found on the web, and what is known about it.

    Attributes:
        encoded: The file's bytes.
        suffix: ``".jpg"`` or ``".png"``.
        mask: Tampered pixels, ``(H, W)`` bool; all False for an authentic picture.
        label: 1 tampered, 0 authentic.
        operation: See :class:`Forgery`; ``None`` for an authentic picture.
        shape: Likewise.
        history: The history in words.
        host: The photo, its index in the pool.
        donor: See :class:`Forgery`.
        group: The group of both photos, by which splits must go.
    """

    encoded: bytes
    suffix: str
    mask: np.ndarray
    label: int
    operation: str | None
    shape: str | None
    history: tuple[str, ...]
    host: int
    donor: int | None
    group: int

    @property
    def pixels(self) -> np.ndarray:
        """The picture decoded, ``(H, W, 3)`` uint8 RGB."""
        return decode(self.encoded)


def make_example(
    photos: PhotoPool,
    rng: np.random.Generator,
    config: ForgeConfig | None = None,
    *,
    host: int | None = None,
    label: int | None = None,
) -> Example:
    """Draw one picture, authentic or tampered, with a camera-to-web history.

    The scene and the forgery have random numbers of their own, so an authentic picture and a tampered one
    from the same ``rng`` state and host differ by the forgery alone.

    Args:
        photos: Authentic photos.
        rng: From :func:`numpy.random.default_rng`; each call spawns from it and so gives another picture.
        config: Probabilities; the defaults if ``None``.
        host: Index of the photo to take; drawn if ``None``.
        label: 1 tampered, 0 authentic; drawn with ``config.tampered_share`` if ``None``.

    Returns:
        The example.

    Raises:
        DataError: If the host, or no photo at all, can be read.
    """
    config = config or ForgeConfig()
    choice_rng, scene_rng, forge_rng = rng.spawn(3)
    if host is None:
        host = _draw_host(photos, choice_rng)
    if label is None:
        label = int(choice_rng.random() < config.tampered_share)
    return finish_example(photos, draw_scene(photos, host, scene_rng, config), forge_rng, config, label=label)


def draw_scene(photos: PhotoPool, host: int, rng: np.random.Generator, config: ForgeConfig) -> Scene:
    """Draw a view of a photo and a history for it.

    Raises:
        DataError: If the photo cannot be read.
    """
    photo = photos.pixels(host)
    if photo is None:
        raise DataError(f"{photos.paths[host]}: {photos.unreadable[host]}")
    view_rng, history_rng = rng.spawn(2)
    history = draw_history((photo.shape[0], photo.shape[1]), history_rng, config)
    view = draw_view(photos, host, history.canvas, view_rng, whole_share=config.whole_view_share)
    return Scene(replace(view, pixels=history.shoot(view.pixels)), history)


def finish_example(
    photos: PhotoPool, scene: Scene, rng: np.random.Generator, config: ForgeConfig, *, label: int
) -> Example:
    """Forge a scene, or leave it as it is, and send it through its history; ``rng`` draws the forgery alone."""
    host, history = scene.view.index, scene.history
    forgery = _forge_more(photos, scene.view, history, rng, config) if label == TAMPERED else None
    encoded, suffix = history.publish(forgery.pixels if forgery else scene.view.pixels)
    return Example(
        encoded=encoded,
        suffix=suffix,
        mask=history.publish_mask(forgery.mask) if forgery else np.zeros(history.size, bool),
        label=label,
        operation=forgery.operation if forgery else None,
        shape=forgery.shape if forgery else None,
        history=history.steps(),
        host=host,
        donor=forgery.donor if forgery else None,
        group=photos.group_of(host),
    )


def _forge_more(
    photos: PhotoPool, host: View, history: History, rng: np.random.Generator, config: ForgeConfig
) -> Forgery:
    """Forge a view, and for some go on forging what came out; the first edit names the forgery."""
    forgery = forge(photos, host, history, rng, config)
    edits = 1
    while config.more_edits_share and edits < MAX_EDITS and rng.random() < config.more_edits_share:
        more = forge(photos, replace(host, pixels=forgery.pixels), history, rng, config)
        forgery = replace(forgery, pixels=more.pixels, mask=forgery.mask | more.mask)
        edits += 1
    return forgery


def forge(photos: PhotoPool, host: View, history: History, rng: np.random.Generator, config: ForgeConfig) -> Forgery:
    """Forge one region of a view.

    Draws that leave hardly a trace (see :data:`MIN_CHANGED` and its neighbours) are drawn again with the
    same operation; after :data:`ATTEMPTS` of them the region is given grain instead, which always shows.

    Args:
        photos: Where a splice finds its donor, within the host's group.
        host: The authentic picture.
        history: Its crop bounds where a forgery can lie, its size decides what is left of the mask.
        rng: Random numbers.
        config: Weights and ranges.

    Returns:
        The forgery.
    """
    donors = [index for index in photos.members(photos.group_of(host.index)) if index != host.index]
    operation = _draw_operation(rng, config, can_splice=bool(donors), can_redraw=photos.autoencoder is not None)
    for _ in range(ATTEMPTS):
        forgery = _attempt(operation, photos, host, donors, history, rng, config)
        if forgery is not None and _shows(forgery, host.pixels, history):
            return forgery
    while True:  # grain on a region inside the frame shows in every picture, so this ends
        shape = draw_shape(None, history.frame, rng, config, max_area=config.max_area)
        patch, method = retouch(host.pixels, shape, rng, config, method="noise")
        forgery = Forgery(*blend(host.pixels, patch), f"retouch {method}", patch.shape, None)
        if _shows(forgery, host.pixels, history):
            return forgery


def _attempt(
    operation: str,
    photos: PhotoPool,
    host: View,
    donors: list[int],
    history: History,
    rng: np.random.Generator,
    config: ForgeConfig,
) -> Forgery | None:
    frame, name, donor = history.frame, operation, None
    patch: Patch | None
    if operation == "text":
        patch = write(frame, rng)
    elif operation == "splice":
        donor = int(rng.choice(donors))
        source = draw_view(photos, donor, history.canvas, rng, whole_share=config.whole_view_share)
        camera = draw_camera(rng, config)
        source = View(donor, source.pixels if camera is None else camera.save(source.pixels), source.window)
        shape = draw_shape(source.labels(photos, rng), frame, rng, config, max_area=config.max_area)
        patch = transplant(source.pixels, shape, host.pixels, frame, rng, config, same_picture=False)
    else:
        largest = config.max_removal_area if operation == "removal" else config.max_area
        shape = draw_shape(host.labels(photos, rng), frame, rng, config, max_area=largest)
        if operation == "copy-move":
            patch = transplant(host.pixels, shape, host.pixels, frame, rng, config, same_picture=True)
        elif operation == "removal":
            patch = remove(host.pixels, shape, frame, rng, config)
        elif operation == "redraw":
            from vilaco.data.forge.redraw import redraw

            assert photos.autoencoder is not None
            patch = redraw(host.pixels, shape, frame, photos.autoencoder, rng, config)
        else:
            patch, method = retouch(host.pixels, shape, rng, config)
            name = f"retouch {method}"
    if patch is None:
        return None
    return Forgery(*blend(host.pixels, patch), name, patch.shape, donor)


def _shows(forgery: Forgery, host: np.ndarray, history: History) -> bool:
    """Whether the forgery changed enough of its mask, and enough of the mask outlives the history."""
    left, top, width, height = cv2.boundingRect(forgery.mask.view(np.uint8))
    if not width:
        return False
    box = np.s_[top : top + height, left : left + width]
    mask = forgery.mask[box].view(np.uint8)
    difference = cv2.absdiff(forgery.pixels[box], host[box])
    untouched = cv2.bitwise_and(mask, cv2.inRange(difference, (0, 0, 0), (0, 0, 0)))
    if cv2.countNonZero(untouched) > (1.0 - MIN_CHANGED) * cv2.countNonZero(mask):
        return False
    if sum(cv2.mean(difference, mask=mask)) / 3 < MIN_DIFFERENCE:
        return False
    return int(np.count_nonzero(history.publish_mask(forgery.mask))) >= MIN_PIXELS


def _draw_operation(rng: np.random.Generator, config: ForgeConfig, *, can_splice: bool, can_redraw: bool) -> str:
    splice, redrawn = config.splice * can_splice, config.redraw * can_redraw
    return pick(rng, OPERATIONS, (config.copy_move, splice, config.removal, config.retouch, config.text, redrawn))


def _draw_host(photos: PhotoPool, rng: np.random.Generator) -> int:
    for index in rng.permutation(len(photos.paths)):
        if photos.pixels(int(index)) is not None:
            return int(index)
    raise DataError(f"none of the {len(photos.paths)} photos can be read: the first is {photos.paths[0]}.")
