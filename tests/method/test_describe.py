from pathlib import Path
from typing import Any

import pytest

from vilaco.method.checkpoint import load_checkpoint
from vilaco.method.describe import describe_model
from vilaco.method.vilaco import ViLaCo, ViLaCoConfig


def test_boxes_add_up_and_a_linear_layer_is_counted_right(tiny_model: Path) -> None:
    model, _ = load_checkpoint(tiny_model)
    rows = {row.box: row for row in describe_model(model)}
    parts = [row for name, row in rows.items() if name != "total"]
    total = rows["total"]
    assert total.trainable == sum(p.numel() for p in model.parameters() if p.requires_grad)
    for field in ("trainable", "frozen", "multiply_adds"):
        assert getattr(total, field) == sum(getattr(row, field) for row in parts), field
    assert rows["encoder"].trainable == 0
    assert rows["encoder"].multiply_adds > 0
    tokens, dim = 64, 24  # 64 x 64 pixels at patch 8
    assert rows["coarse_head"].multiply_adds == tokens * dim
    assert all(row.frozen == 0 for row in parts if row.box != "encoder")


def test_what_looks_at_stored_pixels_counts_for_the_residuals_and_not_for_the_encoder(
    tiny_forensic: dict[str, Any],
) -> None:
    paper = {key: value for key, value in tiny_forensic.items() if key not in ("residuals", "copy_move")}
    rows, plain = (
        {row.box: row for row in describe_model(ViLaCo(ViLaCoConfig.model_validate(config)))}
        for config in (tiny_forensic, paper)
    )
    # pooling to the patch grid lies between the boxes, and what no box accounts for is counted as the encoder's
    assert rows["encoder"].multiply_adds == pytest.approx(plain["encoder"].multiply_adds, rel=0.01)
    cells, pixels = 8 * 8, 64 * 64
    constrained = pixels * 3 * 8 * 5 * 5
    dct = 3 * cells * 64 * 64
    assert rows["residuals"].multiply_adds > constrained + dct
