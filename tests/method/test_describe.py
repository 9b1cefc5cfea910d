from pathlib import Path

from vilaco.method.checkpoint import load_checkpoint
from vilaco.method.describe import describe_model


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
