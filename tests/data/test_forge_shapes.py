from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from scipy.io import loadmat, savemat

from vilaco.data.forge.blending import ALPHA_FLOOR, Patch, blend, soften
from vilaco.data.forge.config import ForgeConfig
from vilaco.data.forge.photos import has_segments, match_segments
from vilaco.data.forge.segments import kinds_in, read_segmentation
from vilaco.data.forge.shapes import Frame, draw_shape, random_shape
from vilaco.errors import DataError

SEGMENTS = Path(__file__).resolve().parents[2] / "../shared/data/bsds500/segments"


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10**6), st.integers(64, 300), st.integers(64, 300), st.floats(0.012, 0.3))
def test_random_shapes_lie_in_the_frame_and_are_never_empty(seed, height, width, share):
    frame = Frame(3, 5, height, width)
    shape = random_shape(frame, share * height * width, np.random.default_rng(seed))
    rows, columns = shape.mask.shape
    assert shape.mask.any()
    assert shape.top >= 3
    assert shape.left >= 5
    assert shape.top + rows <= 3 + height
    assert shape.left + columns <= 5 + width


def test_areas_are_log_uniform_between_the_limits():
    rng, config = np.random.default_rng(0), ForgeConfig()
    frame = Frame(0, 0, 400, 600)
    areas = np.array([draw_shape(None, frame, rng, config, max_area=0.3).mask.sum() / (400 * 600) for _ in range(600)])
    assert 0.011 < areas.min() < 0.016
    assert areas.max() < 0.31
    assert np.median(areas) == pytest.approx(np.sqrt(0.012 * 0.3), rel=0.15)


def test_a_segment_that_fits_is_taken_as_it_is_and_background_is_not():
    labels = np.zeros((100, 120), np.uint16)  # 0: background, touches the border all round
    labels[30:60, 40:70] = 7
    config = ForgeConfig(segment_share=1.0)
    for seed in range(5):
        shape = draw_shape(labels, Frame(0, 0, 100, 120), np.random.default_rng(seed), config, max_area=0.5)
        assert (shape.kind, shape.top, shape.left) == ("segment", 30, 40)
        assert shape.mask.shape == (30, 30)
        assert shape.mask.all()


def test_the_largest_piece_of_a_torn_segment_is_taken():
    labels = np.zeros((100, 100), np.uint16)
    labels[20:25, 20:25] = 3
    labels[50:80, 50:80] = 3
    shape = draw_shape(
        labels, Frame(10, 10, 80, 80), np.random.default_rng(0), ForgeConfig(segment_share=1.0), max_area=0.3
    )
    assert (shape.top, shape.left, int(shape.mask.sum())) == (50, 50, 900)


def test_soft_edges_fade_inwards_and_the_middle_is_whole():
    mask = np.zeros((41, 41), bool)
    mask[5:36, 5:36] = True
    alpha = soften(mask, 2.0)
    assert alpha.dtype == np.float32
    assert not alpha[~mask].any()
    assert alpha[20, 20] == pytest.approx(1.0, abs=1e-4)
    assert np.all(np.diff(alpha[20, 5:20]) >= 0)
    assert alpha[20, 5] < 0.3


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10**6), st.integers(-20, 40), st.integers(-20, 40))
def test_a_blend_changes_nothing_outside_its_mask(seed, top, left):
    rng = np.random.default_rng(seed)
    host = rng.integers(0, 256, (30, 30, 3), dtype=np.uint8)
    before = host.copy()
    patch = Patch(rng.integers(0, 256, (20, 20, 3), dtype=np.uint8), rng.random((20, 20), np.float32), top, left, "x")
    forged, mask = blend(host, patch)
    np.testing.assert_array_equal(host, before)
    np.testing.assert_array_equal(forged[~mask], host[~mask])
    for y in range(30):
        for x in range(30):
            inside = 0 <= y - top < 20 and 0 <= x - left < 20
            assert mask[y, x] == (inside and patch.alpha[y - top, x - left] >= ALPHA_FLOOR)


@pytest.mark.parametrize("packed", [False, True])
def test_every_annotators_segments_are_read_as_scipy_writes_them(tmp_path: Path, packed: bool):
    rng = np.random.default_rng(0)
    people = np.empty((1, 3), object)
    for person in range(3):
        segments = rng.integers(0, 900, (14, 26)).astype(np.uint16 if person else np.uint8)
        people[0, person] = {"Boundaries": np.zeros((4, 6)), "Segmentation": segments}
    savemat(tmp_path / "7.mat", {"groundTruth": people}, do_compression=packed)
    read = {read_segmentation(tmp_path / "7.mat", np.random.default_rng(seed)).tobytes() for seed in range(20)}
    assert read == {people[0, person]["Segmentation"].astype(np.uint16).tobytes() for person in range(3)}


@pytest.mark.parametrize("packed", [False, True])
def test_class_maps_give_their_classes_or_one_whole(tmp_path: Path, packed: bool):
    classes = np.zeros((20, 30), np.uint8)
    classes[4:9, 5:12], classes[9:15, 6:11] = 7, 12  # a shirt and trousers
    savemat(tmp_path / "person.mat", {"groundtruth": classes}, do_compression=packed)
    Image.fromarray(classes).save(tmp_path / "street.png")
    drawn = [read_segmentation(tmp_path / "person.mat", np.random.default_rng(seed)) for seed in range(20)]
    kinds = {tuple(np.unique(labels)) for labels in drawn}
    assert kinds == {(0, 7, 12), (0, 1)}
    whole = next(labels for labels in drawn if labels.max() == 1)
    np.testing.assert_array_equal(whole == 1, classes > 0)
    np.testing.assert_array_equal(read_segmentation(tmp_path / "street.png", np.random.default_rng(0)), classes)
    Image.fromarray(np.zeros((4, 4, 3), np.uint8)).save(tmp_path / "photo.png")
    (tmp_path / "notes.mat").write_bytes(b"x" * 300)
    assert kinds_in(tmp_path) == {"class map .mat": 1, "class map .png": 1, "unusable": 2}


def test_segmentations_are_found_by_their_names_also_where_folders_became_part_of_them(tmp_path: Path):
    for folder, names in (("a", ["street__0001.mat", "7.png"]), ("b", ["7.mat", "other.mat"]), ("c", ["none.mat"])):
        (tmp_path / folder).mkdir()
        for name in names:
            (tmp_path / folder / name).touch()
    photos = [Path(name) for name in ("photos__0001.jpg", "7.jpg", "x__2.jpg", "y__2.jpg")]
    found = match_segments(photos, [tmp_path / "a", tmp_path / "b"])
    assert found == {0: tmp_path / "a/street__0001.mat", 1: tmp_path / "b/7.mat"}  # of two the later folder's
    assert has_segments(photos, tmp_path / "b")
    assert not has_segments(photos[:1], tmp_path / "b")
    with pytest.raises(DataError, match="none of its 1 segmentations"):
        match_segments(photos, [tmp_path / "a", tmp_path / "c"])


def test_small_shapes_come_as_often_as_asked_for():
    config = ForgeConfig(small_share=0.3, smallest_area=0.001, min_area=0.02, max_area=0.2)
    frame, rng = Frame(0, 0, 256, 384), np.random.default_rng(0)
    areas = [draw_shape(None, frame, rng, config, max_area=0.2).mask.sum() / (256 * 384) for _ in range(400)]
    small = np.array([area for area in areas if area < 0.019])
    assert 0.22 < len(small) / 400 < 0.38
    assert 0.0008 < small.min() < 0.0015
    assert abs(np.median(np.log(small)) - np.log(np.sqrt(0.001 * 0.02))) < 0.5  # log-uniform between the two


@pytest.mark.shared_data
def test_segments_of_bsds500_are_what_scipy_reads():
    if not SEGMENTS.is_dir():
        pytest.skip("needs shared/data/bsds500 beside the project")
    for path in sorted(SEGMENTS.rglob("*.mat"))[::100]:
        truth = loadmat(path)["groundTruth"].ravel()
        rng, same_draw = np.random.default_rng(1), np.random.default_rng(1)
        segments = read_segmentation(path, rng)
        np.testing.assert_array_equal(segments, truth[same_draw.integers(len(truth))]["Segmentation"][0, 0])


@pytest.mark.parametrize("cut", [0, 100, 150, 400])
def test_a_file_that_is_no_segmentation_is_named(tmp_path: Path, cut: int):
    savemat(tmp_path / "whole.mat", {"groundTruth": np.zeros((9, 9))})
    (tmp_path / "7.mat").write_bytes((tmp_path / "whole.mat").read_bytes()[:cut] or b"not a mat file")
    with pytest.raises(DataError, match=r"7\.mat: not a segmentation"):
        read_segmentation(tmp_path / "7.mat", np.random.default_rng(0))
