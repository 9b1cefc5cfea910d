"""Where a picture repeats itself: copies under known transforms, pictures without any, slow versions of the steps."""

import cv2
import numpy as np
import pytest

from pictures import make_textured
from vilaco import matching
from vilaco.images import resave_jpeg
from vilaco.matching import CHANNELS, MAX_PIXELS, MIN_SHIFT, propose_transforms, self_matches

STRONG = 0.3
SOURCE = np.s_[30:110, 40:120]


def similarity(angle: float, scale: float, source: tuple[float, float], target: tuple[float, float]) -> np.ndarray:
    """Turn by degrees, scale, and take ``source`` to ``target``, both x, y."""
    matrix = cv2.getRotationMatrix2D(source, angle, scale)
    matrix[:, 2] += np.subtract(target, source)
    return matrix


def copy_move(picture: np.ndarray, matrix: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A forgery, where its source is, and where its copy is."""
    size = picture.shape[1::-1]
    source = np.zeros(picture.shape[:2], np.uint8)
    source[SOURCE] = 1
    target = cv2.warpAffine(source, matrix, size, flags=cv2.INTER_NEAREST) > 0
    laid = cv2.warpAffine(picture, matrix, size, flags=cv2.INTER_CUBIC)
    return np.where(target[..., None], laid, picture), source > 0, target


def to_cells(mask: np.ndarray) -> np.ndarray:
    """Share of each cell, of whole cells and those that stick out (which repeat the edge)."""
    padded = np.pad(mask, [(0, -side % 8) for side in mask.shape], mode="edge").astype(np.float64)
    return padded.reshape(padded.shape[0] // 8, 8, padded.shape[1] // 8, 8).mean(axis=(1, 3))


def places(found: np.ndarray) -> np.ndarray:
    """Partners' x, y in pixels, shape ``(h, w, 2)``."""
    rows, columns = found.shape[1:]
    return (found[3:].transpose(1, 2, 0) + 1) / 2 * (columns * 8, rows * 8) - 0.5


def cell_centres(rows: int, columns: int) -> np.ndarray:
    y, x = np.mgrid[:rows, :columns]
    return np.stack([x, y], axis=2) * 8 + 3.5


def recall_and_precision(found: np.ndarray, truth: np.ndarray) -> tuple[float, float]:
    strong, truth = found[0] > STRONG, to_cells(truth) > 0.5
    return (strong & truth).sum() / truth.sum(), (strong & truth).sum() / max(1, strong.sum())


@pytest.mark.parametrize("quality", [None, 80])
@pytest.mark.parametrize("size", [(256, 384), (251, 381)])
@pytest.mark.parametrize(("angle", "scale"), [(0, 1), (30, 1), (0, 1.3), (30, 1.3)])
def test_source_and_copy_show_and_point_at_each_other(
    angle: float, scale: float, size: tuple[int, int], quality: int | None
) -> None:
    matrix = similarity(angle, scale, (80, 70), (280, 150))
    picture, source, target = copy_move(make_textured(np.random.default_rng(0), *size), matrix)
    found = self_matches(picture if quality is None else resave_jpeg(picture, quality))
    assert found.shape == (CHANNELS, 32, 48)
    assert found.dtype == np.float32
    recall, precision = recall_and_precision(found, source | target)
    assert recall > 0.85
    assert precision > 0.97
    back = cv2.invertAffineTransform(matrix)
    for region, there, log_scale in ((source, matrix, np.log(scale)), (target, back, -np.log(scale))):
        inside = (to_cells(region) > 0.9) & (found[0] > STRONG)
        assert inside.sum() > 60
        expected = cell_centres(32, 48) @ there[:, :2].T + there[:, 2]
        assert np.linalg.norm(places(found) - expected, axis=2)[inside].max() < 1.0  # pixels
        np.testing.assert_allclose(found[2][inside], log_scale, atol=0.02)
        assert found[1][inside].min() > 0.85
        assert found[1].max() <= 1.0 + 1e-6


def test_a_larger_picture_is_looked_at_reduced_and_answered_on_its_own_grid() -> None:
    small = make_textured(np.random.default_rng(1))
    matrix = similarity(20, 1.1, (80, 70), (270, 150))
    forged, source, target = copy_move(small, matrix)
    size = (1537, 1021)
    assert size[0] * size[1] > 4 * MAX_PIXELS
    picture = cv2.resize(forged, size, interpolation=cv2.INTER_CUBIC)
    found = self_matches(picture)
    assert found.shape == (CHANNELS, 128, 193)
    regions = [cv2.resize(mask.astype(np.uint8), size, interpolation=cv2.INTER_NEAREST) for mask in (source, target)]
    recall, precision = recall_and_precision(found, (regions[0] + regions[1]) > 0)
    assert recall > 0.85
    assert precision > 0.95
    stretch = np.divide(size, (384, 256))
    inside = (to_cells(regions[0]) > 0.9) & (found[0] > STRONG)
    seen = (cell_centres(128, 193) + 0.5) / stretch - 0.5
    expected = (seen @ matrix[:, :2].T + matrix[:, 2] + 0.5) * stretch - 0.5
    assert np.linalg.norm(places(found) - expected, axis=2)[inside].max() < 3.0  # less than a reduced pixel


@pytest.mark.parametrize("quality", [None, 80])
def test_nothing_repeats_nothing_shows(quality: int | None) -> None:
    picture = make_textured(np.random.default_rng(2))
    found = self_matches(picture if quality is None else resave_jpeg(picture, quality))
    assert not found.any()


@pytest.mark.parametrize(
    "size", [(1, 1), (8, 8), (9, 9), (1, 300), (300, 1), (20, 21), (33, 1000), (1, 2 * MAX_PIXELS), (600, 900)]
)
def test_flat_and_tiny_and_thin_pictures_have_nothing(size: tuple[int, int]) -> None:
    grid = (-(-size[0] // 8), -(-size[1] // 8))
    pictures = [np.full((*size, 3), value, np.uint8) for value in (0, 90, 255)]
    pictures.append(np.random.default_rng(3).integers(0, 256, (*size, 3), dtype=np.uint8))
    for picture in pictures:
        found = self_matches(picture)
        assert found.shape == (CHANNELS, *grid)
        assert not found.any()


def test_colour_does_not_matter() -> None:
    forged, *_ = copy_move(make_textured(np.random.default_rng(4)), similarity(0, 1, (80, 70), (280, 150)))
    grey = cv2.cvtColor(cv2.cvtColor(forged, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
    np.testing.assert_array_equal(self_matches(grey), self_matches(forged))
    assert self_matches(grey).any()


def test_the_same_picture_gives_the_same_answer_whatever_was_seen_before() -> None:
    forged, *_ = copy_move(make_textured(np.random.default_rng(5)), similarity(30, 1.3, (80, 70), (280, 150)))
    kept = forged.copy()
    first = self_matches(forged)
    self_matches(make_textured(np.random.default_rng(6)))
    np.testing.assert_array_equal(self_matches(forged), first)
    np.testing.assert_array_equal(forged, kept)  # nor is the picture touched
    threads = cv2.getNumThreads()
    try:
        cv2.setNumThreads(1)
        np.testing.assert_array_equal(self_matches(forged), first)
    finally:
        cv2.setNumThreads(threads)


def test_natural_repetition_shows_too() -> None:
    """Identical tiles agree with their neighbours; nothing here knows that this is no forgery."""
    tile = make_textured(np.random.default_rng(7), 64, 64)
    found = self_matches(resave_jpeg(np.tile(tile, (4, 6, 1)), 85))
    assert (found[0] > STRONG).mean() > 0.9
    shifts = places(found) - cell_centres(32, 48)
    np.testing.assert_allclose(shifts, np.round(shifts / 64) * 64, atol=0.5)
    assert np.linalg.norm(shifts, axis=2).min() > MIN_SHIFT


def test_a_pattern_finer_than_the_least_shift_is_no_repetition() -> None:
    y, x = np.mgrid[:256, :384]
    stripes = (127 + 100 * np.sin(x * 2 * np.pi / 12) * np.sin(y * 2 * np.pi / 12)).astype(np.uint8)
    for transform in propose_transforms(stripes):
        centre = np.array([192.0, 128.0])
        assert np.linalg.norm(transform.matrix[:, :2] @ centre + transform.matrix[:, 2] - centre) > MIN_SHIFT / 2


def test_a_mirrored_copy_is_not_found() -> None:
    """Known limit: descriptors change under a mirror, and mirrors are not proposed."""
    picture = make_textured(np.random.default_rng(8))
    picture[100:200, 220:320] = picture[100:200, 40:140][:, ::-1]
    assert not self_matches(picture).any()


def test_transforms_come_with_the_most_inliers_first_and_stay_plausible() -> None:
    picture = make_textured(np.random.default_rng(9))
    picture[20:120, 150:250] = picture[20:120, 20:120]
    picture[160:220, 300:360] = picture[160:220, 60:120]
    transforms = propose_transforms(cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY))
    shifts = {tuple(np.round(transform.matrix[:, 2]).astype(int)) for transform in transforms}
    assert shifts & {(130, 0), (-130, 0)}
    assert shifts & {(240, 0), (-240, 0)}
    counts = [transform.inliers for transform in transforms]
    assert min(counts) >= matching.MIN_INLIERS
    assert counts[0] == max(counts)


def test_plausible_by_hand() -> None:
    corners = np.array([[100.0, 100.0], [140.0, 100.0], [100.0, 140.0]])
    moved = np.array([[1.0, 0.0, 50.0], [0.0, 1.0, 0.0]])
    assert matching._plausible(moved, corners)
    assert not matching._plausible(np.array([[1.0, 0.0, 15.0], [0.0, 1.0, 0.0]]), corners)  # hardly moves
    assert not matching._plausible(np.array([[-1.0, 0.0, 300.0], [0.0, 1.0, 0.0]]), corners)  # mirrors
    assert not matching._plausible(np.array([[2.6, 0.0, 0.0], [0.0, 1.0, 0.0]]), corners)  # stretches
    assert not matching._plausible(np.array([[0.3, 0.0, 0.0], [0.0, 1.0, 0.0]]), corners)  # squeezes


def slow_match(points: np.ndarray, descriptors: np.ndarray) -> set[tuple[int, int]]:
    unit = descriptors.astype(np.float64) / np.linalg.norm(descriptors, axis=1, keepdims=True)
    pairs = set()
    for i in range(len(points)):
        far = [j for j in range(len(points)) if np.hypot(*(points[i] - points[j])) >= MIN_SHIFT]
        if not far:
            continue
        best = max(far, key=lambda j: unit[i] @ unit[j])
        others = [unit[i] @ unit[j] for j in far if np.hypot(*(points[best] - points[j])) >= MIN_SHIFT]
        second = max(others, default=-1.0)
        first = unit[i] @ unit[best]
        if first > matching.MIN_SIMILARITY and np.sqrt((1 - first) / (1 - second)) < matching.MAX_RATIO:
            pairs.add((i, best))
    return pairs


@pytest.mark.parametrize("count", [1, 2, 60])
def test_matches_of_keypoints_against_a_slow_version(count: int) -> None:
    rng = np.random.default_rng(10)
    points = rng.uniform(0, 120, (2 * count, 2))  # many of them near each other
    descriptors = rng.random((count, 128)) * 255
    descriptors = np.concatenate([descriptors, descriptors + rng.normal(0, 40, descriptors.shape)])
    descriptors[count // 2] = descriptors[0] + rng.normal(0, 40, 128)  # one that is not distinctive
    descriptors = np.abs(descriptors).astype(np.float32)
    expected = slow_match(points, descriptors)
    assert count < 60 or 20 < len(expected) < 120
    source, target = matching._match(points, descriptors)
    index = {tuple(point): number for number, point in enumerate(points)}
    pairs = {(index[tuple(a)], index[tuple(b)]) for a, b in zip(source, target, strict=True)}
    assert pairs == expected


def test_near_points_against_every_pair() -> None:
    points = np.random.default_rng(11).uniform(0, 90, (70, 2))
    points[1] = points[0]
    points[2:4] = (0.0, 0.0), (MIN_SHIFT, 0.0)  # just not near
    expected = np.linalg.norm(points[:, None] - points, axis=2) < MIN_SHIFT
    np.testing.assert_array_equal(matching._near(points), expected)
    assert not expected[2, 3]
    assert matching._near(points[:0]).shape == (0, 0)


@pytest.mark.parametrize("size", [(24, 40), (23, 33), (1, 1), (9, 8)])
def test_cells_are_means_of_eight_by_eight_with_the_edge_repeated(size: tuple[int, int]) -> None:
    values = np.random.default_rng(12).random(size, np.float32)
    expected = to_cells(values)
    end = np.array(expected.shape[::-1]) * 8.0
    np.testing.assert_allclose(matching._to_cells(values, expected.shape, end), expected, atol=1e-5)


@pytest.mark.parametrize(("angle", "scale"), [(0, 1), (25, 1.2)])
def test_agreement_against_a_slow_version(angle: float, scale: float) -> None:
    picture, *_ = copy_move(make_textured(np.random.default_rng(13)), similarity(0, 1, (80, 70), (200, 75)))
    grey = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY).astype(np.float32)[20:120, 30:260]
    matrix = similarity(angle, scale, (50, 50), (170, 55))
    agreement = matching.Windows(grey).agreement(matrix)
    assert agreement.any() == (angle == 0)
    laid = cv2.warpAffine(grey, matrix, grey.shape[::-1], flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP)
    height, width = grey.shape
    y, x = np.mgrid[:height, :width]
    partner_x = matrix[0, 0] * x + matrix[0, 1] * y + matrix[0, 2]
    partner_y = matrix[1, 0] * x + matrix[1, 1] * y + matrix[1, 2]
    inside = (partner_x >= 0) & (partner_x <= width - 1) & (partner_y >= 0) & (partner_y <= height - 1)
    agrees, correlation = np.zeros(grey.shape, bool), np.zeros(grey.shape)
    for row in range(4, height - 4):
        for column in range(4, width - 4):
            window = np.s_[row - 4 : row + 5, column - 4 : column + 5]
            if not inside[window].all():
                continue
            mine, other = grey[window].astype(np.float64), laid[window].astype(np.float64)
            covariance = (mine * other).mean() - mine.mean() * other.mean()
            correlation[row, column] = (covariance + 1) / (mine.std() * other.std() + 1)
            moved = np.hypot(partner_x[row, column] - column, partner_y[row, column] - row) > MIN_SHIFT
            alike = abs(mine.mean() - other.mean()) < matching.MAX_OFFSET
            agrees[row, column] = correlation[row, column] > matching.MIN_AGREEMENT and moved and alike
    opened = cv2.morphologyEx(agrees.astype(np.uint8), cv2.MORPH_OPEN, np.ones((5, 5), np.uint8)) > 0
    interior = np.zeros(grey.shape, bool)
    interior[8:-8, 8:-8] = True  # a window that crosses the picture's own edge reflects there
    np.testing.assert_array_equal((agreement > 0)[interior], opened[interior])
    expected = np.where(opened, np.clip(correlation, 0, 1), 0)
    np.testing.assert_allclose(agreement[interior], expected[interior], atol=1e-3)


def test_pixels_that_stay_where_they_are_do_not_agree() -> None:
    """A turn about a point leaves the pixels around it; only those more than :data:`MIN_SHIFT` away count."""
    windows = matching.Windows(make_textured(np.random.default_rng(14))[..., 0].astype(np.float32))
    moved = windows._moved(cv2.getRotationMatrix2D((200, 100), 30, 1.0))
    y, x = np.mgrid[:256, :384]
    radius = np.hypot(x - 200, y - 100)
    limit = MIN_SHIFT / (2 * np.sin(np.radians(15)))
    np.testing.assert_array_equal(moved[np.abs(radius - limit) > 0.01], (radius > limit)[np.abs(radius - limit) > 0.01])
    assert not windows.agreement(np.eye(2, 3)).any()
