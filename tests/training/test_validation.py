"""Validation figures worked by hand, and a curve that a killed run does not spoil."""

from pathlib import Path

import numpy as np
import pytest
import torch

from vilaco.training.validation import THRESHOLDS, Curve, Judged, judge, parts, summary


class Drawn(torch.nn.Module):
    """A network that is not asked; it has a mode."""


def batch(masks: list[list[float]], labels: list[int]) -> dict[str, torch.Tensor]:
    return {"mask": torch.tensor(masks, dtype=torch.uint8)[:, None], "label": torch.tensor(labels)}


def test_pictures_judged_by_hand() -> None:
    probs = torch.tensor([[0.9, 0.6, 0.2, 0.1], [0.4, 0.3, 0.2, 0.1], [0.9, 0.2, 0.8, 0.1]])[:, None]
    scores = torch.tensor([0.8, 0.3, 0.7])
    given = batch([[1, 0, 0, 0], [0, 0, 0, 0], [1, 1, 0, 0]], [1, 0, 1])
    about = {
        "operations": ["retouch blur", "", "copy-move"],
        "histories": ["camera jpeg 90 4:2:0", "final png", "resize 4x1 area, final png"],
        "hosts": [2, 2, 0],
    }
    model = Drawn().train()
    judged = judge(model, iter([(given, about)]), lambda _: (probs, scores))  # type: ignore[arg-type]
    assert model.training  # as it was
    first, authentic, third = judged
    middle = THRESHOLDS // 2
    assert first.f1[middle] == pytest.approx(2 / 3, abs=1e-6)  # one right, one too many
    assert third.f1[middle] == pytest.approx(1 / 2, abs=1e-6)  # one right, one too many, one missed
    assert (first.auc, third.auc) == (1.0, 0.75)
    assert np.isnan(authentic.f1).all()
    assert [picture.drawn_on for picture in judged] == [True, False, True]
    assert [picture.operation for picture in judged] == ["retouch", "", "copy-move"]
    figures = summary(judged, ["cameras", "tree", "street"])
    assert figures["pixel_f1"] == pytest.approx((2 / 3 + 1 / 2) / 2, abs=1e-6)
    assert figures["pixel_f1_best"] == pytest.approx((1 + 2 / 3) / 2, abs=1e-6)  # at .61 to .79: one alone; one of two
    assert figures["pixel_auc"] == 0.875
    assert figures["image_auc"] == 1.0
    assert figures["found_at_5_percent"] == 1.0
    assert figures["authentic_drawn_on"] == 0.0
    assert figures["pixel_f1 retouch"] == pytest.approx(2 / 3, abs=1e-6)
    assert figures["pixel_f1 resized"] == pytest.approx(1 / 2, abs=1e-6)
    assert figures["pixel_f1 from street"] == figures["pixel_f1 retouch"]
    assert figures["pixel_f1 from cameras"] == figures["pixel_f1 copy-move"]
    assert not figures.keys() & {"pixel_f1 splice", "pixel_f1 from tree"}


def test_every_forgery_has_one_area_and_one_history() -> None:
    def picture(area: float, history: str) -> Judged:
        return Judged(1, 0.5, np.zeros(THRESHOLDS), 0.5, True, area, "splice", history, 0)

    forged = [picture(area, "resize" * (index % 2)) for index, area in enumerate((0.0004, 0.01, 0.05, 0.1, 0.2, 1.0))]
    split = parts(forged, ["a"])
    assert [len(split[name]) for name in ("under 1%", "1-3%", "3-8%", "8-20%", "over 20%")] == [1, 1, 1, 1, 2]
    assert (len(split["resized"]), len(split["not resized"]), len(split["splice"])) == (3, 3, 6)
    assert split["from a"] == forged


def row(step: int, f1: float) -> dict[str, float]:
    names = ("pixel_f1_best", "pixel_auc", "image_auc", "authentic_drawn_on")
    return {"step": step, "pictures": 8 * step, "pixel_f1": f1, **dict.fromkeys(names, 0.5)}


def test_a_curve_goes_on_where_a_run_was_killed(tmp_path: Path) -> None:
    curve = Curve(tmp_path)
    assert curve.best() == float("-inf")
    for step, f1 in ((0, 0.1), (100, 0.4), (200, 0.3)):
        curve.add(row(step, f1))
    again = Curve(tmp_path)
    assert again.rows == curve.rows
    assert again.best() == 0.4
    again.add(row(200, 0.35))  # done once more after a kill
    assert [(one["step"], one["pixel_f1"]) for one in Curve(tmp_path).rows] == [(0, 0.1), (100, 0.4), (200, 0.35)]
    assert (tmp_path / "curve.png").read_bytes().startswith(b"\x89PNG")


def test_a_part_that_shows_up_later_has_a_column_of_its_own(tmp_path: Path) -> None:
    curve = Curve(tmp_path)
    curve.add(row(0, 0.1))
    curve.add({**row(1, 0.2), "pixel_f1 text": 0.7})
    rows = Curve(tmp_path).rows
    assert "pixel_f1 text" not in rows[0]
    assert rows[1]["pixel_f1 text"] == 0.7
