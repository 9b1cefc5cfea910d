from pathlib import Path

import cv2
import numpy as np
import pytest

from autoencoders import write_autoencoder
from vilaco.data.forge import ForgeConfig, PhotoPool, make_example
from vilaco.data.forge.engine import MIN_CHANGED, OPERATIONS, forge
from vilaco.data.forge.history import EDITS, METHODS, Edit, Modern, apply_edit, draw_history
from vilaco.data.forge.photos import draw_view, load_autoencoder
from vilaco.data.forge.removal import brush, heal
from vilaco.data.forge.retouch import METHODS as RETOUCHES
from vilaco.data.forge.retouch import retouch
from vilaco.data.forge.shapes import Frame, Shape, random_shape
from vilaco.data.forge.transplant import transplant
from vilaco.errors import DataError

PLAIN = {
    "camera_share": 0.0, "edit_share": 0.0, "editor_save_share": 0.0, "crop_share": 0.0, "resize_share": 0.0,
    "web_save_share": 0.0, "png_share": 1.0,
}  # fmt: skip


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> PhotoPool:
    """Twelve made-up photos of several sizes: soft colours, edges and grain."""
    folder, rng = tmp_path_factory.mktemp("photos"), np.random.default_rng(5)
    for index in range(12):
        height, width = (200, 300) if index % 3 else (320, 240)
        soft = cv2.resize(rng.random((6, 8, 3), np.float32) * 200 + 20, (width, height), interpolation=cv2.INTER_CUBIC)
        cv2.circle(soft, (int(rng.integers(width)), int(rng.integers(height))), 40, (30, 60, 200), -1)
        noisy = soft + rng.normal(0, 4, soft.shape)
        cv2.imwrite(str(folder / f"{index:02d}.png"), np.clip(noisy, 0, 255).astype(np.uint8))
    autoencoder = load_autoencoder(write_autoencoder(tmp_path_factory.mktemp("autoencoder")))
    return PhotoPool(sorted(folder.iterdir()), autoencoder=autoencoder)


def only(operation: str) -> dict[str, float]:
    return {name.replace("-", "_"): float(name == operation) for name in OPERATIONS}


@pytest.mark.parametrize("operation", OPERATIONS)
def test_outside_the_mask_the_host_is_untouched_and_inside_it_is_not(photos: PhotoPool, operation: str):
    weights = only(operation) | ({"retouch": 1e-9} if operation in ("splice", "redraw") else {})
    config = ForgeConfig(**weights)
    for seed in range(12):
        rng = np.random.default_rng(seed)
        host = int(rng.integers(len(photos.paths)))
        history = draw_history(photos.pixels(host).shape[:2], rng, config)
        view = draw_view(photos, host, history.canvas, rng, whole_share=0.5)
        before = view.pixels.copy()
        forgery = forge(photos, view, history, rng, config)
        assert forgery.operation.split()[0] in (operation, "retouch")
        np.testing.assert_array_equal(view.pixels, before)
        np.testing.assert_array_equal(forgery.pixels[~forgery.mask], before[~forgery.mask])
        changed = (forgery.pixels != before).any(axis=2)[forgery.mask].mean()
        assert changed >= MIN_CHANGED
        assert forgery.mask.mean() < 0.45
        frame = history.frame
        outside = forgery.mask.copy()
        outside[frame.top : frame.top + frame.height, frame.left : frame.left + frame.width] = False
        assert not outside.any()
        assert (forgery.donor is not None) == (forgery.operation == "splice")
        if forgery.donor is not None:
            assert photos.group_of(forgery.donor) == photos.group_of(host)


def test_a_history_is_the_same_whatever_the_label(photos: PhotoPool):
    for seed in range(40):
        host = seed % len(photos.paths)
        authentic = make_example(photos, np.random.default_rng(seed), host=host, label=0)
        tampered = make_example(photos, np.random.default_rng(seed), host=host, label=1)
        assert authentic.history == tampered.history
        assert authentic.suffix == tampered.suffix
        assert authentic.pixels.shape == tampered.pixels.shape == (*tampered.mask.shape, 3)
        assert not authentic.mask.any()
        assert tampered.mask.any()
        assert authentic.group == tampered.group


def test_twins_without_lossy_history_differ_inside_the_mask_alone(photos: PhotoPool):
    config = ForgeConfig(**PLAIN)
    for seed in range(10):
        twins = [make_example(photos, np.random.default_rng(seed), config, host=3, label=label) for label in (0, 1)]
        different = (twins[0].pixels != twins[1].pixels).any(axis=2)
        assert not different[~twins[1].mask].any()
        assert different[twins[1].mask].mean() >= MIN_CHANGED


def test_the_mask_follows_crop_and_resize(photos: PhotoPool):
    config = ForgeConfig(**(PLAIN | {"crop_share": 1.0, "resize_share": 1.0, "min_resize": 0.6, "max_resize": 1.2}))
    outside, inside = [], []
    for seed in range(12):
        twins = [make_example(photos, np.random.default_rng(seed), config, host=4, label=label) for label in (0, 1)]
        difference = np.abs(twins[0].pixels.astype(int) - twins[1].pixels).max(axis=2)
        far = ~cv2.dilate(twins[1].mask.astype(np.uint8), np.ones((15, 15), np.uint8)).astype(bool)
        outside.append(difference[far].max())
        inside.append(difference[twins[1].mask].mean())
    assert max(outside) == 0
    assert min(inside) > 1.0


@pytest.mark.parametrize("size", [(128, 192), (256, 384), (100, 64)])
def test_a_fixed_size_is_kept_by_every_history(photos: PhotoPool, size: tuple[int, int]):
    rng = np.random.default_rng(1)
    config = ForgeConfig(size=size)
    for _ in range(15):
        assert make_example(photos, rng, config).pixels.shape == (*size, 3)


def test_one_generator_gives_a_new_picture_each_call_and_one_seed_the_same(photos: PhotoPool):
    rng = np.random.default_rng(9)
    first, second = make_example(photos, rng), make_example(photos, rng)
    again = make_example(photos, np.random.default_rng(9))
    assert first.encoded != second.encoded
    assert first.encoded == again.encoded
    np.testing.assert_array_equal(first.mask, again.mask)


def test_a_plain_copy_is_the_very_pixels_elsewhere():
    rng = np.random.default_rng(0)
    host = rng.integers(0, 256, (120, 160, 3), dtype=np.uint8)
    frame = Frame(0, 0, 120, 160)
    config = ForgeConfig(
        scale_share=0,
        rotate_share=0,
        flip_share=0,
        soft_edge_share=0,
        match_noise_share=0,
        match_colour_share=0,
    )
    shape = random_shape(frame, 900, rng)
    patch = None
    while patch is None:
        patch = transplant(host, shape, host, frame, rng, config, same_picture=True)
    rows, columns = shape.mask.shape
    source = host[shape.top : shape.top + rows, shape.left : shape.left + columns]
    np.testing.assert_array_equal(patch.pixels, source)
    np.testing.assert_array_equal(patch.alpha > 0, shape.mask)


def test_healing_a_ramp_leaves_no_step():
    ramp = np.repeat(np.linspace(40, 200, 200)[None, :, None], 100, axis=0).repeat(3, axis=2).astype(np.uint8)
    region = np.zeros((44, 44), bool)
    region[12:32, 12:32] = True
    filled = heal(ramp, region, (20, 30), Frame(0, 0, 100, 200), np.random.default_rng(0))
    assert filled is not None
    truth = ramp[20:64, 30:74].astype(int)
    assert np.abs(filled.astype(int) - truth)[region].max() < 20


@pytest.mark.parametrize("kind", EDITS)
def test_edits_are_light(photos: PhotoPool, kind: str):
    pixels = photos.pixels(0)
    for strength in (-1.0, 0.5, 1.0):
        edited = apply_edit(pixels, Edit(kind, strength, seed=3))
        assert edited.shape == pixels.shape
        assert edited.dtype == np.uint8
        assert 0 < np.abs(edited.astype(int) - pixels).mean() < 40


def test_groups_are_neighbours_and_none_is_alone(tmp_path: Path):
    pool = PhotoPool([tmp_path / f"{i:02d}.png" for i in range(41)])
    assert sorted(i for group in pool.groups for i in group) == list(range(41))
    assert {len(group) for group in pool.groups} == {4, 5}
    assert len(PhotoPool([tmp_path / f"{i:03d}.png" for i in range(800)]).groups) == 100


def test_no_more_is_kept_decoded_than_asked_for(photos: PhotoPool):
    two = photos.pixels(0).nbytes + photos.pixels(1).nbytes
    pool = PhotoPool(photos.paths, cache_bytes=two)
    assert [pool.members(group) for group in range(len(pool.groups))] == [list(group) for group in pool.groups]
    kept = list(pool._pixels.values())
    assert 0 < len(kept) < 12
    assert sum(pixels.nbytes for pixels in kept) <= two
    for index in range(12):
        assert np.array_equal(pool.pixels(index), photos.pixels(index))


def test_no_photos_or_unfitting_segments_are_refused(tmp_path: Path):
    with pytest.raises(DataError, match="no photos"):
        PhotoPool([])
    (tmp_path / "other.mat").touch()
    with pytest.raises(DataError, match=r"none of its 1 segmentations"):
        PhotoPool([tmp_path / "a.png"], segments=[tmp_path])


def test_settings_out_of_range_are_refused():
    with pytest.raises(ValueError, match="areas need"):
        ForgeConfig(min_area=0.3, max_area=0.2)
    with pytest.raises(ValueError, match="weight above 0"):
        ForgeConfig(copy_move=0, removal=0, retouch=0, text=0)


@pytest.mark.parametrize("form", ["webp", "avif"])
def test_a_save_of_another_form_is_part_of_the_history_and_of_the_pixels(photos: PhotoPool, form: str):
    config = ForgeConfig(**{f"{form}_share": 1.0}, **PLAIN)
    example = make_example(photos, np.random.default_rng(0), config, host=1, label=0)
    saves = [step for step in example.history if step.startswith(f"web {form} ")]
    assert len(saves) == 1
    plain = make_example(photos, np.random.default_rng(0), ForgeConfig(**PLAIN), host=1, label=0)
    saved = Modern(form, int(saves[0].split()[-1])).save(plain.pixels)
    np.testing.assert_array_equal(example.pixels, saved)
    assert 0.5 < np.abs(saved.astype(int) - plain.pixels).mean() < 10


@pytest.mark.parametrize("size", [None, (96, 144)])
def test_what_is_passed_on_is_scaled_and_saved_again(photos: PhotoPool, size: tuple[int, int] | None):
    config = ForgeConfig(**(PLAIN | {"size": size, "passed_on_share": 1.0, "resize_share": 1.0, "web_save_share": 1.0}))
    kinds = set()
    for seed in range(30):
        rng = np.random.default_rng(seed)
        history = draw_history((200, 300), rng, config)
        assert history.size == size or size is None
        assert history.passed_on is not None
        pixels = rng.integers(0, 256, (*history.canvas, 3), dtype=np.uint8)
        published = cv2.resize(pixels, history.published_size[::-1], interpolation=METHODS[history.method])
        again = history.web_save.save(published if history.canvas != history.published_size else pixels)
        if history.published_size != history.size:
            again = cv2.resize(again, history.size[::-1], interpolation=METHODS[history.passed_on.method])
        if history.passed_on.save is not None:
            assert history.passed_on.save.subsampling == "4:2:0"
            again = history.passed_on.save.save(again)
        encoded, _ = history.publish(pixels)
        np.testing.assert_array_equal(cv2.imdecode(np.frombuffer(encoded, np.uint8), cv2.IMREAD_COLOR_RGB), again)
        kinds.add((history.passed_on.save is None, np.sign(history.size[0] - history.published_size[0])))
        last = [step for step in history.steps() if not step.startswith("final")][-1]
        assert last.startswith("screenshot" if history.passed_on.save is None else "messenger jpeg ")
    assert kinds == {(shot, change) for shot in (False, True) for change in (-1, 0, 1)}


def test_a_photo_without_pixels_to_spare_is_not_enlarged_to_be_shrunk_again():
    size = (96, 144)
    config = ForgeConfig(**(PLAIN | {"size": size, "passed_on_share": 1.0, "resize_share": 0.5, "max_resize": 1.0}))
    histories = [draw_history(size, np.random.default_rng(seed), config) for seed in range(60)]
    assert all(history.published_size <= size and history.canvas <= size for history in histories)
    assert any(history.published_size < size for history in histories)


def test_a_clone_brush_paints_with_what_lies_outside():
    rng = np.random.default_rng(0)
    host = rng.integers(0, 120, (120, 160, 3), dtype=np.uint8)
    region = np.zeros((40, 50), bool)
    region[10:30, 10:40] = True
    host[40:60, 60:90] = 255
    filled = brush(host, region, (30, 50), Frame(0, 0, 120, 160), rng)
    assert filled is not None
    assert filled[region].max() < 120
    assert filled[region].std() > 5
    assert brush(host[30:70, 50:100], region, (0, 0), Frame(0, 0, 40, 50), rng) is None


@pytest.mark.parametrize("method", RETOUCHES)
def test_retouches_change_their_region_and_are_no_stranger_than_a_photo(photos: PhotoPool, method: str):
    host = photos.pixels(0)
    shape = Shape(np.ones((60, 80), bool), 20, 30, "rectangle")
    box = host[20:80, 30:110].astype(int)
    for seed in range(6):
        patch, named = retouch(host, shape, np.random.default_rng(seed), ForgeConfig(soft_edge_share=0), method=method)
        assert (named, patch.pixels.shape, patch.pixels.dtype) == (method, box.shape, np.uint8)
        difference = np.abs(patch.pixels.astype(int) - box)
        assert 0.3 < difference.mean() < 70
        if method == "warp":
            assert difference[[0, -1]].max() == difference[:, [0, -1]].max() == 0


def test_some_pictures_are_forged_more_than_once(photos: PhotoPool):
    once = ForgeConfig(removal=0.0, retouch=0.0, text=0.0)
    more = once.model_copy(update={"more_edits_share": 1.0})
    for seed in range(4):
        first = make_example(photos, np.random.default_rng(seed), once, host=2, label=1)
        thrice = make_example(photos, np.random.default_rng(seed), more, host=2, label=1)
        assert thrice.operation == first.operation
        assert thrice.mask[first.mask].all()
        assert thrice.mask.sum() > first.mask.sum()
