"""Splits: no scene on two sides, labels balanced, same seed same split."""

from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vilaco.data.records import Record
from vilaco.data.split import check_split, grouped_folds, grouped_split, shared_groups
from vilaco.errors import DataError


def shots(*groups: tuple[str | None, int, int]) -> list[Record]:
    """Records from ``(group, authentic, tampered)``."""
    return [
        Record(Path(f"{index}_{label}_{n}.jpg"), label, group=group)
        for index, (group, *counts) in enumerate(groups)
        for label, count in enumerate(counts)
        for n in range(count)
    ]


data_sets = st.lists(st.tuples(st.integers(0, 12), st.sampled_from([0, 1, None])), min_size=1, max_size=60).map(
    lambda rows: [
        Record(Path(f"{i}.jpg"), label, group=None if group == 0 else str(group))
        for i, (group, label) in enumerate(rows)
    ]
)


@settings(max_examples=60, deadline=None)
@given(records=data_sets, k=st.integers(2, 4), seed=st.integers(0, 9))
def test_folds_hold_every_record_once_and_no_scene_twice(records: list[Record], k: int, seed: int) -> None:
    scenes = {r.group or r.path for r in records}
    if len(scenes) < k:
        with pytest.raises(DataError):
            grouped_folds(records, k, seed)
        return
    folds = grouped_folds(records, k, seed)
    assert len(folds) == k
    assert all(folds)
    assert sorted(str(r.path) for fold in folds for r in fold) == sorted(str(r.path) for r in records)
    check_split({str(i): fold for i, fold in enumerate(folds)})
    position = {r.path: i for i, r in enumerate(records)}
    assert all([position[r.path] for r in fold] == sorted(position[r.path] for r in fold) for fold in folds)


def test_order_of_records_does_not_matter_and_the_seed_does() -> None:
    records = shots(*((f"g{i}", 1, 1) for i in range(20)))
    first = grouped_folds(records, 2, seed=3)
    backwards = grouped_folds(records[::-1], 2, seed=3)
    assert [{r.path for r in fold} for fold in first] == [{r.path for r in fold} for fold in backwards]
    assert first != grouped_folds(records, 2, seed=4)


def test_labels_are_balanced_exactly_where_groups_allow() -> None:
    records = shots(*((f"a{i}", 3, 0) for i in range(8)), *((f"t{i}", 0, 2) for i in range(12)))
    for fold in grouped_folds(records, 4, seed=0):
        assert Counter(r.label for r in fold) == {0: 6, 1: 6}


def test_fraction_is_held_out_of_each_label() -> None:
    records = shots(*((None, 1, 0) for _ in range(60)), *((None, 0, 1) for _ in range(40)))
    kept, held_out = grouped_split(records, fraction=0.2, seed=1)
    assert Counter(r.label for r in held_out) == {0: 12, 1: 8}
    assert Counter(r.label for r in kept) == {0: 48, 1: 32}


def test_a_group_as_large_as_half_the_set_goes_to_one_side() -> None:
    records = shots(("big", 10, 10), *((f"g{i}", 1, 1) for i in range(10)))
    kept, held_out = grouped_split(records, fraction=0.25, seed=0)
    assert {r.group for r in held_out} <= {f"g{i}" for i in range(10)}
    assert len(held_out) == 10
    assert len(kept) == 30


@pytest.mark.parametrize("fraction", [0.0, 1.0, -0.1, float("nan")])
def test_fraction_out_of_range(fraction: float) -> None:
    with pytest.raises(DataError, match=r"fraction must be in \(0, 1\)"):
        grouped_split(shots(("a", 1, 1), ("b", 1, 1)), fraction=fraction, seed=0)


def test_too_few_scenes() -> None:
    with pytest.raises(DataError, match="2 scenes cannot be dealt into 3 parts"):
        grouped_folds(shots(("a", 5, 5), ("b", 5, 5)), 3, seed=0)
    with pytest.raises(DataError, match="folds must be at least 2"):
        grouped_folds(shots(("a", 5, 5)), 1, seed=0)
    with pytest.raises(DataError, match="0 scenes"):
        grouped_folds([], 2, seed=0)


def test_a_split_that_crosses_a_scene_is_refused() -> None:
    parts = {"train": shots(("a", 1, 0), ("b", 1, 0)), "test": shots(("b", 0, 1), ("c", 0, 1))}
    with pytest.raises(DataError, match=r"scene 'b' is in train and test \(1 scenes are shared in all\)"):
        check_split(parts)


def test_one_file_in_two_parts_is_shared_even_without_a_group() -> None:
    relative, absolute = Record(Path("a.jpg"), 0), Record(Path("a.jpg").resolve(), 0)
    shared = shared_groups({"train": [relative], "test": [absolute]})
    assert shared == {str(absolute.path): ["train", "test"]}


@pytest.mark.shared_data
def test_casia1_dev_splits_by_scene() -> None:
    root = Path(__file__).resolve().parents[3] / "shared/data/casia1_dev"
    if not root.is_dir():
        pytest.skip(f"needs the development data at {root}")
    from vilaco.data.formats import read_dataset

    folds = grouped_folds(read_dataset(root), 2, seed=0)
    check_split({str(i): fold for i, fold in enumerate(folds)})
    for fold in folds:
        labels = Counter(r.label for r in fold)
        assert abs(labels[0] - 435 / 2) <= 2
        assert abs(labels[1] - 509 / 2) <= 2
