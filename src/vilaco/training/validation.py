"""How a training is doing: forged pictures of photos that it does not learn from, judged as it goes.

Selection looks at these alone. A validation is a row of a CSV file, and all rows are a plot.
"""

import csv
import io
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from vilaco.data.forge.engine import OPERATIONS
from vilaco.data.records import TAMPERED
from vilaco.evaluation import metrics
from vilaco.evaluation.image_metrics import ImageScores, image_auc, image_tpr_at_fpr
from vilaco.files import write_atomically
from vilaco.method.vilaco import ViLaCo

THRESHOLDS = 64
"""Of the search for the best single threshold."""
AREAS = {
    "under 1%": (0.0, 0.01),
    "1-3%": (0.01, 0.03),
    "3-8%": (0.03, 0.08),
    "8-20%": (0.08, 0.2),
    "over 20%": (0.2, 1.1),
}
"""Shares of the picture."""

Batch = tuple[dict[str, torch.Tensor], dict[str, list[Any]]]


@dataclass(frozen=True)
class Judged:
    """One validation picture as a network drew it.

    Attributes:
        label: 1 tampered, 0 authentic.
        score: The image score, in [0, 1].
        f1: At each of :data:`THRESHOLDS` from 0 up; NaN for an authentic picture.
        auc: Over its pixels; NaN likewise.
        drawn_on: Whether any pixel is over 0.5.
        area: Tampered share.
        operation: Its first word; ``""`` for an authentic picture.
        history: In words.
        host: Which photo it was made from.
    """

    label: int
    score: float
    f1: NDArray[np.float64]
    auc: float
    drawn_on: bool
    area: float
    operation: str
    history: str
    host: int


def judge(
    model: ViLaCo,
    batches: Iterator[Batch],
    forward: Callable[[dict[str, torch.Tensor]], tuple[torch.Tensor, torch.Tensor]],
) -> list[Judged]:
    """Judge validation pictures with a network as it is, left in the mode it was in.

    Args:
        model: The network.
        batches: From a store: pictures, and their operations, histories and hosts.
        forward: Mask probabilities ``(B, H, W)`` and image scores ``(B,)`` of a batch.
    """
    was_training = model.training
    model.eval()
    judged = []
    with torch.no_grad():
        for batch, about in batches:
            probs, scores = forward(batch)
            levels = (probs.clamp(0, 1).float().numpy() * (THRESHOLDS * 16)).astype(np.int64)
            for index in range(len(scores)):
                judged.append(
                    _judged(
                        levels[index],
                        probs[index].max().item() > 0.5,
                        batch["mask"][index].numpy() > 0,
                        int(batch["label"][index]),
                        float(scores[index]),
                        about["operations"][index],
                        about["histories"][index],
                        about["hosts"][index],
                    )
                )
    model.train(was_training)
    return judged


def _judged(
    levels: NDArray[np.int64],
    drawn_on: bool,
    mask: NDArray[np.bool_],
    label: int,
    score: float,
    operation: str,
    history: str,
    host: int,
) -> Judged:
    f1, auc = np.full(THRESHOLDS, np.nan), np.nan
    if label == TAMPERED:
        length = THRESHOLDS * 16 + 1
        positive = np.bincount(levels[mask], minlength=length)
        negative = np.bincount(levels.ravel(), minlength=length) - positive
        f1 = metrics.f1_wscl(metrics.counts_by_threshold(negative, positive))[: THRESHOLDS * 16 : 16]
        auc = float(metrics.auc(negative, positive))
    return Judged(label, score, f1, auc, drawn_on, float(mask.mean()), operation.partition(" ")[0], history, host)


def summary(judged: list[Judged], kinds: Sequence[str]) -> dict[str, float]:
    """Figures of a validation: over all, then P-F1 by operation, area, history and kind of photo.

    Args:
        judged: The pictures.
        kinds: Kind of each photo that they were made from.

    Returns:
        ``pixel_f1`` (at 0.5), ``pixel_f1_best`` (at the best single threshold), ``pixel_auc``, ``image_auc``,
        ``found_at_5_percent`` (share of forgeries found at 5% false alarms), ``authentic_drawn_on``, and
        ``pixel_f1 <part>`` for each part that has a forgery.
    """
    forged = [picture for picture in judged if picture.label == TAMPERED]
    curves = np.stack([picture.f1 for picture in forged])
    images = ImageScores.of([picture.label for picture in judged], np.array([picture.score for picture in judged]))
    authentic = [picture.drawn_on for picture in judged if picture.label != TAMPERED]
    middle = THRESHOLDS // 2
    figures = {
        "pixel_f1": float(curves[:, middle].mean()),
        "pixel_f1_best": float(curves.mean(axis=0).max()),
        "pixel_auc": float(np.nanmean([picture.auc for picture in forged])),
        "image_auc": float(image_auc(images)[0]),
        "found_at_5_percent": float(image_tpr_at_fpr(images, max_fpr=0.05)[0]),
        "authentic_drawn_on": float(np.mean(authentic)) if authentic else float("nan"),
    }
    for name, part in parts(forged, kinds).items():
        if part:
            figures[f"pixel_f1 {name}"] = float(np.mean([picture.f1[middle] for picture in part]))
    return figures


def parts(forged: list[Judged], kinds: Sequence[str]) -> dict[str, list[Judged]]:
    """Forgeries by operation, by area, by what their history did to the traces, and by kind of photo."""
    split = {name: [picture for picture in forged if picture.operation == name] for name in OPERATIONS}
    for name, (low, high) in AREAS.items():
        split[name] = [picture for picture in forged if low <= picture.area < high]
    resized = [picture for picture in forged if "resize" in picture.history]
    split["resized"] = resized
    split["not resized"] = [picture for picture in forged if "resize" not in picture.history]
    for kind in sorted(set(kinds)):
        split[f"from {kind}"] = [picture for picture in forged if kinds[picture.host] == kind]
    return split


class Curve:
    """The validations of a training: ``curve.csv`` and ``curve.png`` in its folder, each written whole."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "curve.csv"
        self.rows: list[dict[str, float]] = []
        if self.path.is_file():
            with open(self.path, newline="") as file:
                self.rows = [
                    {name: float(value) for name, value in row.items() if value} for row in csv.DictReader(file)
                ]

    def add(self, row: dict[str, float]) -> None:
        """Add a validation, in place of any at the same or a later step that a killed run left."""
        self.rows = [other for other in self.rows if other["step"] < row["step"]] + [row]
        names = list(dict.fromkeys(name for one in self.rows for name in one))
        table = io.StringIO()
        writer = csv.DictWriter(table, names, lineterminator="\n")
        writer.writeheader()
        writer.writerows({name: f"{value:.5g}" for name, value in one.items()} for one in self.rows)
        write_atomically(self.path, table.getvalue().encode())
        write_atomically(self.path.with_suffix(".png"), self._plot())

    def best(self) -> float:
        """The highest P-F1 so far."""
        return max((row["pixel_f1"] for row in self.rows), default=float("-inf"))

    def _plot(self) -> bytes:
        from matplotlib.figure import Figure

        figure = Figure(figsize=(10, 4), layout="constrained")
        left, right = figure.subplots(1, 2)
        pictures = [row["pictures"] for row in self.rows]
        for name in ("pixel_f1", "pixel_f1_best", "pixel_auc", "image_auc", "authentic_drawn_on"):
            left.plot(pictures, [row[name] for row in self.rows], label=name, marker=".")
        for name in (
            "pixel_f1 copy-move",
            "pixel_f1 splice",
            "pixel_f1 under 1%",
            "pixel_f1 over 20%",
            "pixel_f1 resized",
        ):
            right.plot(pictures, [row.get(name, np.nan) for row in self.rows], label=name, marker=".")
        for axes in (left, right):
            axes.set_xlabel("pictures")
            axes.set_ylim(0, 1)
            axes.grid(alpha=0.3)
            axes.legend(fontsize=8)
        buffer = io.BytesIO()
        figure.savefig(buffer, format="png", dpi=110)
        return buffer.getvalue()
