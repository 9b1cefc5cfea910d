"""A ladder as a picture: one panel a family, one line a figure, the clean point at the left of each."""

import io
import math
from collections.abc import Sequence

from matplotlib.figure import Figure

from vilaco.evaluation.robustness_row import RobustnessRow

MAX_FIGURES = 4
"""Lines a panel; the CSV holds the rest."""

_AXIS = {
    "blur": "Gaussian kernel (px)",
    "noise": "noise variance (8-bit units)",
    "screenshot": "",
    "webp": "WebP quality",
    "avif": "AVIF quality",
}


def plot_robustness(steps: Sequence[RobustnessRow], title: str) -> bytes:
    """Draw the first profile's figures along the ladder, with their bootstrap intervals.

    Args:
        steps: Every figure of every rung, the clean ones first.
        title: What stands above; the profile is added.

    Returns:
        A PNG.
    """
    profile = steps[0].profile
    rows = [row for row in steps if row.profile == profile]
    metrics = list(dict.fromkeys(row.metric for row in rows))[:MAX_FIGURES]
    families = [family for family in dict.fromkeys(row.family for row in rows) if family != "clean"]
    figure = Figure(figsize=(3.4 * len(families), 3.6), layout="constrained")
    panels = figure.subplots(1, len(families), sharey=True, squeeze=False)[0]
    for panel, family in zip(panels, families, strict=True):
        for index, metric in enumerate(metrics):
            drawn = [row for row in rows if row.metric == metric and row.family in ("clean", family)]
            places = range(len(drawn))
            values = [row.value for row in drawn]
            panel.plot(places, values, marker="o", markersize=4, color=f"C{index}", label=metric)
            panel.fill_between(
                places,
                [_end(r, r.low) for r in drawn],
                [_end(r, r.high) for r in drawn],
                color=f"C{index}",
                alpha=0.15,
            )
        panel.set_xticks(list(places), ["clean" if r.family == "clean" else str(r.level or "") for r in drawn])
        panel.set_title(family)
        panel.set_xlabel(_AXIS.get(family, "JPEG quality"))
        panel.set_ylim(0, 1)
        panel.grid(alpha=0.3)
    panels[0].legend(fontsize=7)
    figure.suptitle(f"{title}, profile {profile}", parse_math=False)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=120)
    return buffer.getvalue()


def _end(row: RobustnessRow, end: float) -> float:
    """An interval's end, or the value itself where there is no interval."""
    return row.value if math.isnan(end) else end
