"""How pictures are laid over each other."""

import cv2
import numpy as np
import pytest

from pictures import make_textured
from vilaco.images import resave_jpeg
from vilaco.reuse.features import extract
from vilaco.reuse.finding import _full_size
from vilaco.reuse.register import Laid, consistent, invert, lay


def by_hand(scale: float, degrees: float, shift: tuple[float, float], *, mirrored: bool = False) -> np.ndarray:
    """x' = shift + scale * R(degrees) * (+-x, y)."""
    cosine, sine = np.cos(np.radians(degrees)) * scale, np.sin(np.radians(degrees)) * scale
    linear = np.array([[cosine, -sine], [sine, cosine]]) @ np.diag([-1.0 if mirrored else 1.0, 1.0])
    return np.hstack([linear, np.array(shift)[:, None]])


@pytest.mark.parametrize("mirrored", [False, True])
@pytest.mark.parametrize(("scale", "degrees"), [(1.0, 0.0), (0.6, 0.0), (1.5, 30.0), (1.0, 90.0), (0.8, -120.0)])
def test_a_known_similarity_is_found(scale: float, degrees: float, mirrored: bool) -> None:
    pixels = make_textured(np.random.default_rng(0), 240, 240)
    matrix = by_hand(scale, degrees, (0.0, 0.0), mirrored=mirrored)
    matrix[:, 2] = 200.0 - matrix[:, :2] @ [119.5, 119.5]  # the middle goes to (200, 200)
    blurred = cv2.GaussianBlur(pixels, (0, 0), 0.5 / scale) if scale < 1 else pixels
    other = resave_jpeg(cv2.warpAffine(blurred, matrix, (400, 400), flags=cv2.INTER_CUBIC), 90)
    found = lay(extract(pixels), extract(other), mirrored=mirrored)[0]
    corners = np.array([[0, 0], [239, 0], [0, 239], [239, 239]])
    missed = corners @ (found.matrix[:, :2] - matrix[:, :2]).T + found.matrix[:, 2] - matrix[:, 2]
    assert np.abs(missed).max() < 2.0
    assert found.scale == pytest.approx(scale, rel=0.02)
    assert found.mirrored is mirrored
    assert (found.rotation - degrees + 180) % 360 - 180 == pytest.approx(0.0, abs=1.0)


def test_unrelated_pictures_agree_on_next_to_nothing() -> None:
    first, second = (extract(make_textured(np.random.default_rng(seed), 240, 320)) for seed in (1, 2))
    assert max((way.inliers for way in lay(first, second, mirrored=False)), default=0) < 8


def test_what_is_consistent_by_hand() -> None:
    source = np.array([[0, 0, 4, 0], [100, 0, 4, 90], [0, 50, 8, 10]], np.float32)
    turned = np.array(
        [[10, 10, 8, 90], [10, 210, 8, 180], [300, 300, 16, 100]], np.float32
    )  # by 90 degrees, twice as large
    agrees = consistent(source, turned, mirrored=False)
    assert agrees[0, 1]  # (100, 0) turned by 90 degrees and doubled is (0, 200)
    assert not agrees[0, 2]  # (0, 50) would be (-100, 0)
    assert agrees.diagonal().all()


def test_matrices_of_reduced_pictures_are_those_of_the_files() -> None:
    matrix = by_hand(1.3, 20.0, (5.0, -7.0))
    reduced = _full_size(matrix, 1 / 0.5, 1 / 0.25)  # to pictures of half and a quarter of the sides
    point = np.array([30.0, 40.0])
    there = matrix[:, :2] @ point + matrix[:, 2]
    small = reduced[:, :2] @ ((point + 0.5) * 0.5 - 0.5) + reduced[:, 2]
    np.testing.assert_allclose(small, (there + 0.5) * 0.25 - 0.5)
    np.testing.assert_allclose(_full_size(reduced, 0.5, 0.25), matrix)


def test_the_way_back() -> None:
    way = Laid(by_hand(2.0, 45.0, (3.0, 4.0), mirrored=True), np.zeros((0, 2)))
    back = invert(way.matrix)
    point = np.array([11.0, 13.0])
    there = way.matrix[:, :2] @ point + way.matrix[:, 2]
    np.testing.assert_allclose(back[:, :2] @ there + back[:, 2], point)
