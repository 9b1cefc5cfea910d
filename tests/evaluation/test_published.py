"""Published figures: what is stored, what is recomputed, and that they stay apart."""

import math

import pytest

from vilaco.evaluation.published import (
    PUBLISHED_ABLATION,
    PUBLISHED_IMAGE_F1,
    PUBLISHED_PIXEL_F1,
    PublishedRow,
    combined_f1_table,
    published_tables,
)


def test_averages_are_recomputed_from_the_rows() -> None:
    row = PUBLISHED_PIXEL_F1.row("ViLaCo")
    assert row.average == pytest.approx((0.491 + 0.536 + 0.319 + 0.365 + 0.267) / 5)
    assert math.isnan(PublishedRow("m", "none", (0.5, None), "s").average)


def test_combined_f1_is_made_of_its_parts() -> None:
    combined = combined_f1_table()
    assert combined.row("ViLaCo").values[1] == pytest.approx(2 * 0.917 * 0.536 / (0.917 + 0.536), abs=6e-4)
    assert {row.method for row in combined.rows} == {row.method for row in PUBLISHED_IMAGE_F1.rows}


@pytest.mark.parametrize("table", published_tables(), ids=lambda table: table.title[:6])
def test_every_row_is_complete_sourced_and_in_range(table) -> None:
    assert "published" in table.title
    for row in table.rows:
        assert len(row.values) == len(table.columns)
        assert all(0 < value < 1 for value in row.values)
        assert row.source
    assert len({row.method for row in table.rows}) == len(table.rows)


def test_the_ablations_whole_is_the_methods_own_row() -> None:
    whole = PUBLISHED_ABLATION.row("all").values
    assert whole == (PUBLISHED_IMAGE_F1.row("ViLaCo").values[0], PUBLISHED_PIXEL_F1.row("ViLaCo").values[0])
    with pytest.raises(KeyError, match="nobody"):
        PUBLISHED_PIXEL_F1.row("nobody")
