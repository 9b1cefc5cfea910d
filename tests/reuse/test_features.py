"""Keypoints, and what a mirror does to them."""

import numpy as np
import pytest

from pictures import make_textured
from vilaco.reuse.features import MIRRORED, Features, canonical, extract, reduced_grey


def nearest(first: Features, second: Features, pixels: float) -> np.ndarray:
    """For each point of the first the point of the second at the same place, or -1."""
    gaps = np.linalg.norm(first.points[:, None, :2] - second.points[None, :, :2], axis=2)
    return np.where(gaps.min(axis=1) < pixels, gaps.argmin(axis=1), -1)


def test_the_mirrored_picture_has_the_same_descriptors_in_another_order() -> None:
    pixels = make_textured(np.random.default_rng(0), 160, 200)
    plain, mirrored = extract(pixels), extract(np.ascontiguousarray(pixels[:, ::-1]))
    turned = Features(mirrored.points * [-1, 1, 1, 1] + [199, 0, 0, 0], mirrored.descriptors)
    partner = nearest(plain, turned, 0.5)
    both = partner >= 0
    assert both.mean() > 0.8
    theirs = turned.unit()[partner[both]]
    ours = plain.unit()[both]
    assert np.median((ours * theirs[:, MIRRORED]).sum(axis=1)) > 0.99
    assert np.median((ours * theirs).sum(axis=1)) < 0.95


def test_mirroring_twice_is_nothing() -> None:
    assert np.array_equal(np.arange(128)[MIRRORED][MIRRORED], np.arange(128))


def test_a_patch_and_its_mirror_image_are_filed_alike() -> None:
    rng = np.random.default_rng(1)
    descriptors = rng.integers(0, 256, (50, 128)).astype(np.uint8)
    points = np.zeros((50, 4), np.float32)
    filed, flipped = canonical(Features(points, descriptors))
    again, other = canonical(Features(points, descriptors[:, MIRRORED]))
    np.testing.assert_allclose(filed, again, atol=1e-6)
    assert (flipped != other).all()


def test_they_travel_as_bytes() -> None:
    features = extract(make_textured(np.random.default_rng(2), 80, 100))
    back = Features.from_bytes(features.to_bytes())
    assert np.array_equal(back.points, features.points)
    assert np.array_equal(back.descriptors, features.descriptors)
    with pytest.raises(ValueError, match="no keypoints"):
        Features.from_bytes(b"12345")


def test_large_pictures_are_reduced_and_places_are_of_the_whole() -> None:
    pixels = make_textured(np.random.default_rng(3), 200, 300)
    grey, factor = reduced_grey(pixels, 15_000)
    assert grey.shape == (100, 150)
    assert factor == 0.5


def test_one_pixel_has_none() -> None:
    assert len(extract(np.zeros((1, 1, 3), np.uint8)).points) == 0
