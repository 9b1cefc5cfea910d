"""The field's published figures, to stand beside measured ones and never among them.

All were trained on CASIAv2. P-F1 is the mean over tampered images at a fixed threshold of 0.5; I-F1 is the
harmonic mean of sensitivity and specificity at 0.5. Averages that papers print do not all follow from their
own rows, so none is stored: they are computed here from the rows, and only where every set has a value.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from vilaco.evaluation import metrics

Supervision = Literal["none", "image labels", "full masks"]

VILACO = "Sheng et al., ViLaCo, AAAI 40(2), 2026, and the rows it compares with (doi 10.1609/aaai.v40i2.37068)"
DINOV3_IML = "Protocol-MVSS table of the DINOv3-IML README"


@dataclass(frozen=True, slots=True)
class PublishedRow:
    """One method's published figures.

    Attributes:
        method: As the paper calls it.
        supervision: What it was trained on.
        values: One per data set of the table; ``None`` where the paper has none.
        source: Where the figures were published.
    """

    method: str
    supervision: Supervision
    values: tuple[float | None, ...]
    source: str

    @property
    def average(self) -> float:
        """Mean over the data sets, recomputed; NaN unless every set has a value.

        Example:
            >>> round(PUBLISHED_PIXEL_F1.row("ViLaCo").average, 4)
            0.3956
        """
        return float(np.mean(_numbers(self.values)))


@dataclass(frozen=True, slots=True)
class PublishedTable:
    """A published table.

    Attributes:
        figure: Which of our figures it may stand beside.
        columns: Data sets, or parts of a figure.
        rows: Methods.
        averaged: Whether the mean over the columns means anything.
    """

    title: str
    figure: str
    columns: tuple[str, ...]
    rows: tuple[PublishedRow, ...]
    averaged: bool = True

    def row(self, method: str) -> PublishedRow:
        """The row of a method.

        Raises:
            KeyError: If the table has no such row.
        """
        for row in self.rows:
            if row.method == method:
                return row
        raise KeyError(f"{self.title} has no row {method}")


def _full(method: str, *values: float) -> PublishedRow:
    return PublishedRow(method, "full masks", values, DINOV3_IML)


def _weak(method: str, *values: float | None) -> PublishedRow:
    return PublishedRow(method, "image labels", values, VILACO)


def _unsupervised(method: str, *values: float) -> PublishedRow:
    return PublishedRow(method, "none", values, VILACO)


PUBLISHED_PIXEL_F1 = PublishedTable(
    title="P-F1 (published)",
    figure="wscl: pixel_f1_per_image_mean",
    columns=("CASIAv1", "Columbia", "COVER", "IMD20", "NIST16"),
    rows=(
        _unsupervised("NOI1", 0.157, 0.311, 0.205, 0.124, 0.089),
        _unsupervised("CFA1", 0.140, 0.320, 0.188, 0.111, 0.106),
        _weak("MIL-FCN", 0.117, 0.089, 0.121, 0.097, 0.024),
        _weak("MIL-FCN + WSCL", 0.172, 0.270, 0.178, 0.193, 0.110),
        _weak("Araslanov + WSCL", 0.153, 0.362, 0.201, 0.173, 0.099),
        _weak("EdgeCAM", 0.338, 0.470, 0.262, 0.242, 0.254),
        _weak("WSCCL", 0.347, 0.273, 0.301, 0.265, 0.159),
        _weak("M2RL-Net", 0.347, 0.534, 0.213, 0.248, 0.113),
        _weak("ViLaCo", 0.491, 0.536, 0.319, 0.365, 0.267),
        _full("MVSS-Net", 0.534, 0.386, 0.259, 0.279, 0.246),
        _full("CAT-Net v2", 0.581, 0.584, 0.296, 0.273, 0.269),
        _full("TruFor", 0.721, 0.865, 0.419, 0.322, 0.324),
        _full("DINOv3 ViT-L + LoRA", 0.873, 0.915, 0.820, 0.641, 0.621),
    ),
)

PUBLISHED_IMAGE_F1 = PublishedTable(
    title="I-F1 (published)",
    figure="wscl: image_f1_sen_spe_harmonic",
    columns=("CASIAv1", "Columbia", "COVER", "IMD20"),
    rows=(
        _weak("MIL-FCN + WSCL", 0.738, 0.680, 0.544, 0.360),
        _weak("EdgeCAM", 0.806, 0.733, 0.343, 0.613),
        _weak("M2RL-Net", 0.866, 0.975, 0.610, 0.585),
        _weak("ViLaCo", 0.880, 0.917, 0.630, 0.675),
        PublishedRow("MVSS-Net", "full masks", (0.758, 0.802, 0.244, 0.355), VILACO),
    ),
)

PUBLISHED_ABLATION = PublishedTable(
    title="Ablation of ViLaCo on CASIAv1 (published; the paper swaps the column heads, put right here)",
    figure="wscl: image_f1_sen_spe_harmonic and pixel_f1_per_image_mean",
    columns=("I-F1", "P-F1"),
    rows=(
        _weak("without L_coarse", 0.842, 0.410),
        _weak("without L_fine", 0.790, 0.365),
        _weak("without L_cpc", 0.860, 0.445),
        _weak("all", 0.880, 0.491),
    ),
    averaged=False,
)


def combined_f1_table() -> PublishedTable:
    """C-F1 recomputed from the published I-F1 and P-F1 of each method and set that has both.

    Example:
        >>> combined_f1_table().row("ViLaCo").values[0]  # 2 * .880 * .491 / (.880 + .491)
        0.63
    """
    columns = PUBLISHED_IMAGE_F1.columns
    pixel_columns = [PUBLISHED_PIXEL_F1.columns.index(column) for column in columns]
    rows = []
    for row in PUBLISHED_IMAGE_F1.rows:
        pixel = PUBLISHED_PIXEL_F1.row(row.method)
        pixel_values = [pixel.values[index] for index in pixel_columns]
        combined = metrics.harmonic_mean(_numbers(row.values), _numbers(pixel_values))
        source = row.source if row.source == pixel.source else f"{row.source}; {pixel.source}"
        rows.append(PublishedRow(row.method, row.supervision, tuple(combined.round(3).tolist()), source))
    return PublishedTable(
        title="C-F1 (recomputed from the published I-F1 and P-F1)",
        figure="wscl: combined_f1",
        columns=columns,
        rows=tuple(rows),
    )


def _numbers(values: Sequence[float | None]) -> list[float]:
    return [np.nan if value is None else value for value in values]


def published_tables() -> tuple[PublishedTable, ...]:
    """Every published table, C-F1 recomputed."""
    return PUBLISHED_PIXEL_F1, PUBLISHED_IMAGE_F1, combined_f1_table(), PUBLISHED_ABLATION
