"""Pictures of an evaluation: ROC and precision-recall curves, a gallery of the worst and the best maps."""

import io
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from vilaco.evaluation import metrics
from vilaco.evaluation.evaluate import Judged
from vilaco.evaluation.image_metrics import ImageScores, image_auc, image_roc
from vilaco.evaluation.metrics import Floats
from vilaco.evaluation.results import EvaluationReport
from vilaco.files import write_atomically
from vilaco.images import resize_map, resize_pixels

_TILE = 320  # pixels of a tile's long side


def draw_curves(report: EvaluationReport, folder: Path) -> list[Path]:
    """Write ``roc.png`` and ``pr.png``: images, and the pixels of tampered images pooled.

    Returns:
        The files written.
    """
    roc, pr = (Figure(figsize=(4.8, 4.6), layout="constrained") for _ in range(2))
    roc_axes, pr_axes = roc.subplots(), pr.subplots()
    _image_curves(report, roc_axes, pr_axes)
    _pixel_curves(report, roc_axes, pr_axes)
    roc_axes.plot([0, 1], [0, 1], color="0.7", linewidth=1, linestyle=":")
    roc_axes.set(xlabel="false positive rate", ylabel="true positive rate")
    pr_axes.set(xlabel="recall", ylabel="precision")
    written = []
    for name, figure, axes in (("roc.png", roc, roc_axes), ("pr.png", pr, pr_axes)):
        axes.set(xlim=(0, 1), ylim=(0, 1.02))
        axes.set_title(f"{report.method} on {report.data}", parse_math=False)
        if axes.get_legend_handles_labels()[0]:
            axes.legend(loc="lower right" if name == "roc.png" else "best", frameon=False)
        written.append(_write(figure, folder / name))
    return written


def _image_curves(report: EvaluationReport, roc: Axes, pr: Axes) -> None:
    images = ImageScores.of([r.label for r in report.images], [r.detection_score for r in report.images])
    if images.labels.all() or not images.labels.any():
        return
    fpr, tpr = (rates[0] for rates in image_roc(images))
    label = f"images (AUC {image_auc(images)[0]:.3f})"
    roc.plot(fpr, tpr, label=label, color="C0")
    _plot_precision(pr, tpr * report.tampered, fpr * report.authentic, report.tampered, label="images", color="C0")


def _pixel_curves(report: EvaluationReport, roc: Axes, pr: Axes) -> None:
    curve = report.pixel_curve
    if not curve.positives or not curve.negatives:
        return
    tp, fp = np.asarray(curve.tp), np.asarray(curve.fp)
    roc.plot(fp / curve.negatives, tp / curve.positives, label="pixels of tampered images", color="C1")
    _plot_precision(pr, tp, fp, curve.positives, label="pixels of tampered images", color="C1")


def _plot_precision(axes: Axes, tp: Floats, fp: Floats, positives: float, *, label: str, color: str) -> None:
    axes.plot(tp / positives, metrics.divide(tp, tp + fp), label=label, color=color)
    axes.axhline(positives / (tp[0] + fp[0]), color=color, linewidth=1, linestyle=":")


@dataclass(frozen=True, eq=False)
class _Tile:
    name: str
    pixel_f1: float
    detection_score: float
    pictures: tuple[NDArray, NDArray, NDArray]


class Gallery:
    """Keeps small pictures of the tampered images with the lowest and highest F1 while an evaluation runs.

    Pass :meth:`observe` to :func:`~vilaco.evaluation.evaluate.evaluate`. At most ``2 * count`` images are
    held.

    Args:
        count: How many of each.
    """

    def __init__(self, count: int = 4) -> None:
        self._count = count
        self._worst: list[_Tile] = []
        self._best: list[_Tile] = []

    def observe(self, judged: Judged) -> None:
        """Consider one evaluated image."""
        f1 = judged.row.pixel_f1
        if np.isnan(f1):
            return
        wanted_low = len(self._worst) < self._count or f1 < self._worst[-1].pixel_f1
        wanted_high = len(self._best) < self._count or f1 > self._best[-1].pixel_f1
        if not (wanted_low or wanted_high):
            return
        tile = _tile(judged)
        if wanted_low:
            self._worst = sorted([*self._worst, tile], key=lambda t: t.pixel_f1)[: self._count]
        if wanted_high:
            self._best = sorted([*self._best, tile], key=lambda t: -t.pixel_f1)[: self._count]

    def draw(self, path: Path) -> Path:
        """Write the gallery: image, mask and map of the best above those of the worst, none twice.

        Returns:
            The file written.

        Raises:
            ValueError: If no tampered image with a mask was seen.
        """
        rows = sorted({*self._best, *self._worst}, key=lambda tile: -tile.pixel_f1)
        if not rows:
            raise ValueError("the gallery has seen no tampered image with a mask.")
        figure = Figure(figsize=(7.5, 2.1 * len(rows)), layout="constrained")
        for axes, tile in zip(figure.subplots(len(rows), 3, squeeze=False), rows, strict=True):
            titles = (tile.name, "mask", f"map: F1 {tile.pixel_f1:.2f}, score {tile.detection_score:.2f}")
            for axis, picture, title in zip(axes, tile.pictures, titles, strict=True):
                axis.imshow(picture, cmap="gray" if title == "mask" else "inferno", vmin=0, vmax=1)
                axis.set_title(title, fontsize=8, parse_math=False)
                axis.set_axis_off()
        return _write(figure, path)


def _tile(judged: Judged) -> _Tile:
    assert judged.case is not None  # an F1 comes from a case
    height, width = judged.case.mask.shape
    scale = min(1.0, _TILE / max(height, width))
    size = (max(1, round(height * scale)), max(1, round(width * scale)))
    mask = cv2.resize(judged.case.mask.astype(np.float32), size[::-1], interpolation=cv2.INTER_AREA)
    photo = resize_pixels(judged.photo.upright(judged.photo.pixels), size)
    pictures = (photo, mask, resize_map(judged.case.localization_map, size))
    name = judged.row.path if len(judged.row.path) <= 40 else f"…{judged.row.path[-39:]}"
    return _Tile(name, judged.row.pixel_f1, judged.row.detection_score, pictures)


def _write(figure: Figure, path: Path) -> Path:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=110)
    write_atomically(path, buffer.getvalue())
    return path
