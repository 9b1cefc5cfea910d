from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest

from vilaco.data.formats import read_dataset
from vilaco.data.loading import (
    AugmentationConfig,
    WeakImages,
    WeakRecord,
    balanced_batches,
    view_pixels,
    weaken,
)
from vilaco.data.records import Record
from vilaco.errors import DataError
from vilaco.images import load_photo


def test_a_weak_record_has_no_room_for_a_mask() -> None:
    assert {field.name for field in fields(WeakRecord)} == {"path", "label", "sha256", "notes", "boxes"}


def test_unreadable_images_are_named_and_left_out(two_piles: Path) -> None:
    broken, empty = two_piles / "authentic/a00.jpg", two_piles / "tampered/t00.jpg"
    broken.write_bytes(broken.read_bytes()[:200])
    empty.write_bytes(b"")
    usable, errors = weaken(read_dataset(two_piles))
    assert len(usable) == 22
    assert [Path(error.source).name for error in errors] == ["a00.jpg", "t00.jpg"]
    assert [error.code for error in errors] == ["truncated", "empty"]


def test_an_image_without_a_label_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"x\.jpg: no label"):
        weaken([Record(tmp_path / "x.jpg", None)])


def test_batches_are_balanced_cover_the_larger_class_and_repeat_by_seed() -> None:
    labels = [0] * 10 + [1] * 3
    batches = balanced_batches(labels, batch_size=4, num_views=3, seed=1, epoch=2)
    assert len(batches) == 5
    for batch in batches:
        assert sorted(labels[index] for index, _ in batch) == [0, 0, 1, 1]
        assert all(0 <= view < 3 for _, view in batch)
    seen = [index for batch in batches for index, _ in batch]
    assert {i for i in seen if labels[i] == 0} == set(range(10))
    counts = [seen.count(i) for i in (10, 11, 12)]
    assert max(counts) - min(counts) <= 1
    assert batches == balanced_batches(labels, batch_size=4, num_views=3, seed=1, epoch=2)
    assert batches != balanced_batches(labels, batch_size=4, num_views=3, seed=1, epoch=3)
    fresh = balanced_batches(labels, batch_size=4, num_views=None, seed=1, epoch=2)
    assert {view for batch in fresh for _, view in batch} == {3}
    with pytest.raises(DataError, match="one of the two is missing"):
        balanced_batches([1, 1], batch_size=2, num_views=1, seed=0, epoch=0)


def test_view_zero_is_clean_and_the_others_are_draws_that_repeat() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    config = AugmentationConfig(rescale=0.5, resave=0.5)

    def view(number: int, seed: int = 3) -> np.ndarray:
        return view_pixels(pixels, number, size=64, config=config, seed=[seed])

    np.testing.assert_array_equal(view(0), pixels)
    np.testing.assert_array_equal(view(1), view(1))
    assert not np.array_equal(view(1), view(2))
    assert not np.array_equal(view(1), view(1, seed=4))


def test_flip_and_crop_alone_only_move_pixels() -> None:
    pixels = np.zeros((50, 40, 3), np.uint8)
    pixels[:, :20] = 255
    flips = [
        view_pixels(pixels, v, size=32, config=AugmentationConfig(min_crop=1.0), seed=[0])[:, 0, 0].max() == 0
        for v in range(1, 30)
    ]
    assert 5 < sum(flips) < 24


def test_dataset_item(two_piles: Path) -> None:
    usable, _ = weaken(read_dataset(two_piles))
    images = WeakImages(usable, size=48, config=AugmentationConfig(), seed=0)
    item = images[20, 0]
    assert item["label"] == usable[20].label
    assert item["pixels"].shape == (3, 48, 48)
    photo = load_photo(usable[20].path)
    assert abs(float(item["pixels"].mean()) - float(photo.pixels.mean())) < 2
