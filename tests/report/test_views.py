import numpy as np
import pytest

from pictures import make_photo
from vilaco.evaluation.baselines.ela import ela_map
from vilaco.evaluation.baselines.noi1 import noi1_map
from vilaco.images import Photo, resave_jpeg
from vilaco.report.overlay import heat_colours
from vilaco.report.views import ela_view, noise_view


@pytest.fixture
def noisy_corner() -> np.ndarray:
    """A smooth photo, once saved, with fresh noise in its upper left."""
    rng = np.random.default_rng(0)
    pixels = resave_jpeg(make_photo(rng, 192, 320), 80)
    pixels[:64, :64] = rng.integers(0, 256, (64, 64, 3))
    return pixels


@pytest.mark.parametrize("orientation", range(1, 9))
def test_both_views_are_bright_where_the_trace_is_the_way_a_person_sees_it(
    noisy_corner: np.ndarray, orientation: int
) -> None:
    photo = Photo(noisy_corner, orientation, "<array>")
    where = np.zeros(noisy_corner.shape[:2], np.uint8)
    where[8:56, 8:56] = 1
    height, width = photo.upright_size
    inside = photo.upright(where)[::2, ::2].astype(bool)
    for view in (ela_view(photo, (height // 2, width // 2)), noise_view(photo, (height // 2, width // 2))):
        assert view.shape == (height // 2, width // 2, 3)
        assert view[inside].mean() > 2 * view[~inside].mean()


def test_at_full_size_the_noise_view_is_the_baselines_map(noisy_corner: np.ndarray) -> None:
    photo = Photo(noisy_corner, 1, "<array>")
    np.testing.assert_array_equal(noise_view(photo, (192, 320)), heat_colours(noi1_map(noisy_corner)))


def test_where_nothing_changes_the_views_are_black() -> None:
    photo = Photo(np.full((8, 8, 3), 128, np.uint8), 1, "<array>")
    assert ela_view(photo, (8, 8)).max() == 0
    np.testing.assert_array_equal(noise_view(photo, (8, 8)), heat_colours(np.zeros((8, 8), np.float32)))
    assert ela_map(photo.pixels).max() == 0
