"""The named metric profiles: each a frozen definition of what is measured, on which images, at which size.

Two results compare only when their profiles are the same. ``wscl``, ``trufor`` and ``benco`` restate how
three published code bases count; ``pooled`` pools all pixels; ``full`` is the wide view of this project. In
every one of them a pixel or image is called tampered when its score is above 0.5, and an image without a
tampered pixel has no pixel F1, IoU or AUC: it is undefined (NaN), left out of the mean and counted.

A profile works in two steps. While images stream by, ``measure`` turns each into a few numbers (*columns*);
the map is then let go. At the end each :class:`Metric` is a function of those columns and of how often each
image counts, which gives the figure and its bootstrap interval alike.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property, partial
from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from vilaco.errors import ConfigError
from vilaco.evaluation import image_metrics, metrics
from vilaco.evaluation.image_metrics import ImageScores
from vilaco.evaluation.metrics import FIXED_LEVEL, Bools, Counts, Floats
from vilaco.images import resize_map

SET_THRESHOLDS = np.linspace(0.0, 1.0, 1001)
"""Where one threshold for the whole set is searched; the per-image oracle tries all 65536 levels."""
_SET_LEVELS = metrics.score_levels(SET_THRESHOLDS.astype(np.float32)).astype(int) + 1

_TRUFOR_ERODE, _TRUFOR_DILATE = np.ones((15, 15), np.uint8), np.ones((11, 11), np.uint8)


@dataclass(frozen=True)
class PixelCase:
    """One image's map beside its mask, at the image's own size; what derives from them is computed once.

    Attributes:
        localization_map: Shape ``(H, W)``, float32 in [0, 1].
        mask: True is tampered (any non-zero mask pixel). Shape ``(H, W)``.
        half_mask: The mask binarised at a channel mean above 127.5 instead. Shape ``(H, W)``.

    Raises:
        ValueError: If the shapes differ.
    """

    localization_map: NDArray[np.float32]
    mask: Bools
    half_mask: Bools

    def __post_init__(self) -> None:
        shapes = {self.localization_map.shape, self.mask.shape, self.half_mask.shape}
        if len(shapes) != 1:
            raise ValueError(f"map and masks must have one shape, got {sorted(shapes)}.")

    @cached_property
    def levels(self) -> NDArray[np.uint16]:
        """The map as 16-bit levels."""
        return metrics.score_levels(self.localization_map)

    @cached_property
    def histograms(self) -> NDArray[np.int64]:
        """Authentic and tampered pixels at each level; ``(2, 65536)``."""
        return metrics.level_histograms(self.levels, self.mask)

    @cached_property
    def counts_by_level(self) -> Counts:
        """Counts when all pixels from a level upwards are called tampered; ``(65537,)``."""
        return metrics.counts_by_threshold(*self.histograms)

    @property
    def counts(self) -> Counts:
        """Counts of ``localization_map > 0.5``, exact."""
        return _pick(self.counts_by_level, FIXED_LEVEL)


@dataclass(frozen=True)
class Columns:
    """What was kept of ``n`` images.

    Attributes:
        images: Labels and detection scores.
        pixel: Per-image numbers by name, ``(n,)`` or ``(n, k)``; NaN where an image has none.
    """

    images: ImageScores
    pixel: Mapping[str, Floats]


@dataclass(frozen=True)
class Metric:
    """One figure of a profile.

    Attributes:
        name: Says the scale and the average.
        statistic: Columns and weights ``(R, n)`` to values ``(R,)``.
        column: The pixel column whose defined entries the figure rests on; ``None`` for image-level figures.
        headline: Shown in the terminal's table.
    """

    name: str
    statistic: Callable[[Columns, NDArray], Floats]
    column: str | None = None
    headline: bool = True


@dataclass(frozen=True)
class Profile:
    """A frozen definition of an evaluation.

    Attributes:
        name: As in ``--profile``.
        source: Whose counting this restates.
        resolution: The size at which map and mask meet.
        mask_binarisation: When a mask pixel is tampered.
        pixel_images: Whose pixels are measured.
        measure: One image to its columns.
        metrics: The figures, in printing order.
        threshold: Scores above it are tampered, for pixels and images.
    """

    name: str
    source: str
    resolution: str
    mask_binarisation: str
    pixel_images: Literal["tampered", "all"]
    measure: Callable[[PixelCase], dict[str, NDArray]]
    metrics: tuple[Metric, ...] = field(repr=False)
    threshold: float = 0.5


def get_profile(name: str) -> Profile:
    """The profile of a name.

    Raises:
        ConfigError: If there is no such profile.

    Example:
        >>> get_profile("wscl").pixel_images
        'tampered'
    """
    if name not in PROFILES:
        raise ConfigError(f"profile '{name}' does not exist; choose from {', '.join(PROFILES)}")
    return PROFILES[name]


# --- one image to its columns ---


def measure_wscl(case: PixelCase) -> dict[str, NDArray]:
    """P-F1 at 0.5 with the field's ``1e-6``."""
    return {"pixel_f1": metrics.f1_wscl(case.counts)}


def measure_trufor(case: PixelCase) -> dict[str, NDArray]:
    """F1 at 0.5 and best F1, each the better of map and inverted map, with a band around the mask ignored.

    Tampered pixels are the mask eroded by 15x15; authentic ones lie outside the mask dilated by 11x11. A mask
    that erodes to nothing has no F1.
    """
    mask = case.mask.astype(np.uint8)
    core = cv2.erode(mask, _TRUFOR_ERODE).astype(bool)
    outside = ~cv2.dilate(mask, _TRUFOR_DILATE).astype(bool)
    counts = metrics.counts_by_threshold(*metrics.level_histograms(case.levels, core, core | outside))
    fixed = _pick(counts, FIXED_LEVEL)
    if not core.any():
        return {"pixel_f1": np.asarray(np.nan), "pixel_f1_best": np.asarray(np.nan)}
    return {
        "pixel_f1": np.maximum(metrics.f1(fixed), metrics.f1(fixed.inverted())),
        "pixel_f1_best": np.maximum(metrics.f1(counts).max(), metrics.f1(counts.inverted()).max()),
    }


def measure_benco(case: PixelCase, *, size: int, policy: Literal["resize", "pad"]) -> dict[str, NDArray]:
    """F1, IoU and accuracy at 0.5 for the map, the inverted map and the better of the two, and AUC.

    ``resize`` brings map (bilinear) and mask (nearest) to ``size`` x ``size``. ``pad`` shrinks what is longer
    than ``size`` and lays it on zeros; the padding is excluded, so that a smaller image is measured at its
    own size.
    """
    height, width = case.mask.shape
    scale = min(1.0, size / max(height, width))
    target = (size, size) if policy == "resize" else (round(height * scale) or 1, round(width * scale) or 1)
    levels = metrics.score_levels(resize_map(case.localization_map, target))
    mask = resize_mask(case.half_mask, target)
    histograms = metrics.level_histograms(levels, mask)
    counts = _pick(metrics.counts_by_threshold(*histograms), FIXED_LEVEL)
    area_under_curve = metrics.auc(*histograms)
    columns = {"pixel_auc_origin": area_under_curve, "pixel_auc_reverse": 1 - area_under_curve}
    for name, formula in {"f1": metrics.f1, "iou": metrics.iou, "accuracy": metrics.accuracy}.items():
        defined = mask.any() or name == "accuracy"
        columns[f"pixel_{name}_origin"] = formula(counts) if defined else np.asarray(np.nan)
        columns[f"pixel_{name}_reverse"] = formula(counts.inverted()) if defined else np.asarray(np.nan)
    for name in ("f1", "iou", "auc", "accuracy"):
        columns[f"pixel_{name}_double"] = np.maximum(columns[f"pixel_{name}_origin"], columns[f"pixel_{name}_reverse"])
    return columns


def measure_pooled(case: PixelCase) -> dict[str, NDArray]:
    """The four counts at 0.5, to be summed over all images."""
    return {"pixel_counts": case.counts.stack()}


def measure_full(case: PixelCase) -> dict[str, NDArray]:
    """F1 and IoU at 0.5, AUC, F1 at the image's own best threshold, and F1 at 1001 shared thresholds."""
    f1_by_level = metrics.f1(case.counts_by_level)
    return {
        "pixel_f1": f1_by_level[FIXED_LEVEL],
        "pixel_iou": metrics.iou(case.counts),
        "pixel_auc": metrics.auc(*case.histograms),
        "pixel_f1_oracle": np.nanmax(f1_by_level),
        "pixel_f1_by_threshold": f1_by_level[_SET_LEVELS].astype(np.float32),
    }


def resize_mask(mask: Bools, size: tuple[int, int]) -> Bools:
    """The mask at another ``(height, width)``, each pixel taken from its nearest one."""
    if mask.shape == size:
        return mask
    resized = cv2.resize(mask.astype(np.uint8), size[::-1], interpolation=cv2.INTER_NEAREST_EXACT)
    return resized.astype(bool)


def _pick(counts: Counts, index: int) -> Counts:
    return Counts(counts.tp[index], counts.fp[index], counts.fn[index], counts.tn[index])


# --- columns to figures ---


def per_image_mean(column: str, columns: Columns, weights: NDArray) -> Floats:
    """Weighted mean of a pixel column over the images that have it; NaN when none has."""
    values = columns.pixel[column]
    defined = ~np.isnan(values)
    return metrics.divide(weights @ np.where(defined, values, 0.0), weights @ defined.astype(float))


def oracle_set_threshold(columns: Columns, weights: NDArray) -> Floats:
    """The best mean F1 that one threshold reaches on this very set (chosen on the test set: oracle)."""
    curves = columns.pixel["pixel_f1_by_threshold"]  # (n, 1001)
    defined = ~np.isnan(curves[:, 0])
    curves = np.where(defined[:, None], curves, 0).astype(float)
    means = metrics.divide(weights @ curves, (weights @ defined.astype(float))[:, None])
    return means.max(axis=1)


def pooled_pixels(formula: Callable[[Counts], Floats], columns: Columns, weights: NDArray) -> Floats:
    """A formula of the counts summed over all images."""
    counts = columns.pixel["pixel_counts"]  # (n, 4)
    return formula(Counts.unstack(weights @ np.where(np.isnan(counts), 0.0, counts)))


def combined_f1(columns: Columns, weights: NDArray) -> Floats:
    """C-F1: harmonic mean of the field's I-F1 and P-F1 (WSCL, ICCV 2023), recomputed from its parts."""
    image_f1 = image_metrics.image_f1_sen_spe_harmonic(columns.images, weights)
    return metrics.harmonic_mean(image_f1, per_image_mean("pixel_f1", columns, weights))


def _pixel_mean(column: str, *, name: str | None = None, headline: bool = True) -> Metric:
    return Metric(name or f"{column}_per_image_mean", partial(per_image_mean, column), column, headline)


def _image(name: str, function: Callable[..., Floats], *, headline: bool = True) -> Metric:
    return Metric(name, lambda columns, weights: function(columns.images, weights), column=None, headline=headline)


def _of_counts(formula: Callable[[Counts], Floats]) -> Callable[..., Floats]:
    return lambda images, weights: formula(image_metrics.image_counts(images, weights))


_IMAGE_F1_HARMONIC = _image("image_f1_sen_spe_harmonic", image_metrics.image_f1_sen_spe_harmonic)
_IMAGE_F1_ORDINARY = _image("image_f1_ordinary", image_metrics.image_f1_ordinary)
_IMAGE_AUC = _image("image_auc", image_metrics.image_auc)
_IMAGE_ACCURACY = _image("image_accuracy", _of_counts(metrics.accuracy))
_IMAGE_SENSITIVITY = _image("image_sensitivity", _of_counts(metrics.sensitivity), headline=False)
_IMAGE_SPECIFICITY = _image("image_specificity", _of_counts(metrics.specificity), headline=False)

WSCL = Profile(
    name="wscl",
    source="WSCL (ICCV 2023) and MVSS-Net, whose formulas agree",
    resolution="native: the map is resized to the image",
    mask_binarisation="any non-zero pixel",
    pixel_images="tampered",
    measure=measure_wscl,
    metrics=(
        _pixel_mean("pixel_f1"),
        _IMAGE_F1_HARMONIC,
        Metric("combined_f1", combined_f1, "pixel_f1"),
        _IMAGE_AUC,
        _IMAGE_ACCURACY,
        _IMAGE_SENSITIVITY,
        _IMAGE_SPECIFICITY,
    ),
)

TRUFOR = Profile(
    name="trufor",
    source="TruFor test code",
    resolution="native: the map is resized to the image",
    mask_binarisation="any non-zero pixel; positives eroded 15x15, negatives outside the mask dilated 11x11",
    pixel_images="tampered",
    measure=measure_trufor,
    metrics=(
        _pixel_mean("pixel_f1", name="pixel_f1_fixed_or_inverted_per_image_mean"),
        _pixel_mean("pixel_f1_best", name="pixel_f1_oracle_per_image_threshold_or_inverted_mean"),
        _IMAGE_AUC,
        _image("image_balanced_accuracy", _of_counts(metrics.balanced_accuracy)),
    ),
)

BENCO = Profile(
    name="benco",
    source="IMDLBenCo",
    resolution="network: resized to 512x512",
    mask_binarisation="channel mean above 127.5",
    pixel_images="all",
    measure=partial(measure_benco, size=512, policy="resize"),
    metrics=(
        *(
            _pixel_mean(f"pixel_{name}_{mode}", headline=mode == "origin")
            for name in ("f1", "iou", "auc", "accuracy")
            for mode in ("origin", "reverse", "double")
        ),
        _IMAGE_F1_ORDINARY,
        _IMAGE_AUC,
        _IMAGE_ACCURACY,
    ),
)

BENCO_PAD = Profile(
    name="benco_pad",
    source=BENCO.source,
    resolution="network: zero-padded to 1024x1024, padding excluded, longer images shrunk to fit",
    mask_binarisation=BENCO.mask_binarisation,
    pixel_images=BENCO.pixel_images,
    measure=partial(measure_benco, size=1024, policy="pad"),
    metrics=BENCO.metrics,
)

POOLED = Profile(
    name="pooled",
    source="photoholmes, torchmetrics",
    resolution="native: the map is resized to the image",
    mask_binarisation="any non-zero pixel",
    pixel_images="all",
    measure=measure_pooled,
    metrics=(
        Metric("pixel_f1_pooled", partial(pooled_pixels, metrics.f1), "pixel_counts"),
        Metric("pixel_iou_pooled", partial(pooled_pixels, metrics.iou), "pixel_counts"),
        Metric("pixel_mcc_pooled", partial(pooled_pixels, metrics.mcc), "pixel_counts"),
        _IMAGE_F1_ORDINARY,
        _image("image_iou", _of_counts(metrics.iou)),
        _image("image_mcc", _of_counts(metrics.mcc)),
    ),
)

FULL = Profile(
    name="full",
    source="this project",
    resolution="native: the map is resized to the image",
    mask_binarisation="any non-zero pixel",
    pixel_images="tampered",
    measure=measure_full,
    metrics=(
        _pixel_mean("pixel_f1"),
        _pixel_mean("pixel_iou"),
        _pixel_mean("pixel_auc"),
        Metric("pixel_f1_oracle_set_threshold", oracle_set_threshold, "pixel_f1"),
        _pixel_mean("pixel_f1_oracle", name="pixel_f1_oracle_per_image_threshold"),
        _IMAGE_F1_HARMONIC,
        _IMAGE_F1_ORDINARY,
        _IMAGE_AUC,
        _image("image_eer", image_metrics.image_eer),
        _IMAGE_ACCURACY,
        _image("image_tpr_at_fpr_1pct", partial(image_metrics.image_tpr_at_fpr, max_fpr=0.01)),
        _image("image_tpr_at_fpr_5pct", partial(image_metrics.image_tpr_at_fpr, max_fpr=0.05)),
        _image("image_calibration_error", image_metrics.image_calibration_error),
    ),
)

PROFILES: dict[str, Profile] = {p.name: p for p in (WSCL, TRUFOR, BENCO, BENCO_PAD, POOLED, FULL)}
