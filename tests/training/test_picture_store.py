"""Pictures made ahead: each used as often as planned, seen in mirrors as they are, kept whole or made anew."""

from collections import Counter
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch

from pictures import make_photo
from vilaco.data.forging import ForgedPictures, StreamConfig
from vilaco.encoders import EncoderConfig
from vilaco.errors import VilacoError
from vilaco.matching import self_matches
from vilaco.method.residuals import KINDS, BlockEvidence, ResidualKind
from vilaco.training import makers as making
from vilaco.training.makers import FAULT, Makers, PictureSource, make_batch, wait_for
from vilaco.training.picture_store import BatchStore, Measurer, ReusePlan, flipped, prepared
from vilaco.training.stage_pictures import StagePictures

STREAM = {"batch_size": 4, "sizes": [[64, 96], [96, 64]]}


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, ...]:
    folder, rng = tmp_path_factory.mktemp("photos"), np.random.default_rng(0)
    for index in range(4):
        pixels = np.clip(make_photo(rng, 120, 150) + rng.normal(0, 6, (120, 150, 3)), 0, 255)
        cv2.imwrite(str(folder / f"{index}.png"), pixels.astype(np.uint8))
    return tuple(sorted(folder.iterdir()))


@pytest.fixture
def source(photos: tuple[Path, ...], tiny_clip: Path) -> PictureSource:
    return PictureSource(
        photos=photos,
        config=StreamConfig.model_validate(STREAM),
        seed=5,
        count=4,
        encoder=EncoderConfig(family="clip", checkpoint=str(tiny_clip)),
        view_size=64,
        kinds=KINDS,
    )


@pytest.mark.parametrize(("uses", "chunk"), [(1, 1), (1, 3), (2, 1), (3, 2), (8, 4)])
def test_every_batch_is_used_as_often_as_planned_and_once_a_block(uses: int, chunk: int) -> None:
    plan = ReusePlan(uses=uses, chunk=chunk, seed=1)
    ramp = sum(chunk * (block + 1) for block in range(uses - 1))  # steps of the short blocks
    steps = ramp + 5 * uses * chunk
    numbers = [plan.number(step) for step in range(steps)]
    used = Counter(numbers)
    assert max(used.values()) == uses
    retired = range(5 * chunk)  # whose last block is over
    assert {used[number] for number in retired} == {uses}
    assert set(numbers) == set(range((uses + 4) * chunk))  # those of the short blocks and of five whole ones
    start = 0
    for block in range(uses + 4):  # slowly, block by block
        length = chunk * min(block + 1, uses)
        expected = range(max(0, block - uses + 1) * chunk, (block + 1) * chunk)
        assert sorted(numbers[start : start + length]) == list(expected)
        for step in range(start, start + length):
            assert plan.alive(step) == range(expected.start, expected.stop + chunk)
        start += length


def test_the_order_is_the_seeds_and_changes_from_block_to_block() -> None:
    plan, again, other = (ReusePlan(uses=4, chunk=8, seed=seed) for seed in (3, 3, 4))
    steps = range(600)
    assert [plan.number(step) for step in steps] == [again.number(step) for step in steps]
    assert [plan.number(step) for step in steps] != [other.number(step) for step in steps]
    ramp = 8 * (1 + 2 + 3)
    blocks = [[plan.number(ramp + 32 * block + place) for place in range(32)] for block in range(4)]
    assert len({tuple(np.argsort(block)) for block in blocks}) == 4


def test_a_batch_comes_back_as_it_was_written(source: PictureSource, tmp_path: Path) -> None:
    store, measurer = BatchStore(tmp_path / "store"), source.measurer()
    batch = source.forge().batch(3, 4)
    written = prepared(batch, measurer)
    store.write(3, written, {"operations": batch.operations})
    found = store.read(3)
    assert found is not None
    read, about = found
    assert read.keys() == written.keys()
    for name, value in written.items():
        assert read[name].dtype == value.dtype
        assert torch.equal(read[name], value), name
    assert about["operations"] == list(batch.operations)
    assert [path.name for path in store.folder.iterdir()] == ["00000003.batch"]


@pytest.mark.parametrize("damage", ["cut", "a flipped bit", "empty", "something else"])
def test_a_damaged_batch_counts_as_missing_and_is_made_anew(
    damage: str, source: PictureSource, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, forge, measurer = BatchStore(tmp_path), source.forge(), source.measurer()
    make_batch(forge, measurer, store, 0, 4)
    whole = store.path(0).read_bytes()
    flipped_bit = bytearray(whole)
    flipped_bit[-100] ^= 1
    damaged = {"cut": whole[:-50], "empty": b"", "something else": b"P" * 500, "a flipped bit": bytes(flipped_bit)}
    store.path(0).write_bytes(damaged[damage])
    assert store.read(0) is None
    monkeypatch.setattr(making.time, "sleep", lambda _: make_batch(forge, measurer, store, 0, 4))
    assert torch.equal(wait_for(store, 0)["pixels"], torch.from_numpy(forge.batch(0, 4).pixels))
    assert store.read(0) is not None


def test_only_the_batches_asked_for_stay(tmp_path: Path) -> None:
    store = BatchStore(tmp_path)
    for number in range(6):
        store.path(number).touch()
    store.forget_others(range(2, 4))
    assert sorted(store.numbers()) == [2, 3]


@pytest.mark.parametrize("kinds", [KINDS, ("dct", "noise"), ("grid",)])
@pytest.mark.parametrize(("across", "down"), [(True, False), (False, True), (True, True), (False, False)])
def test_a_batch_in_a_mirror_is_the_mirrored_batch(
    kinds: tuple[ResidualKind, ...], across: bool, down: bool, source: PictureSource
) -> None:
    class ByPlace:
        """An encoder whose tokens say where they lie and what they see: it turns with the picture."""

        def grid(self, height: int, width: int) -> tuple[int, int]:
            return 2, 4

        def encode_patches(self, views: torch.Tensor) -> torch.Tensor:
            return torch.nn.functional.adaptive_avg_pool2d(views, (2, 4)).flatten(2).transpose(1, 2)

    evidence = BlockEvidence(kinds)
    measurer = Measurer(ByPlace(), 64, evidence)  # type: ignore[arg-type]
    batch = source.forge().batch(1, 4)
    axes = [axis for axis, wanted in ((-1, across), (-2, down)) if wanted]
    seen = flipped(prepared(batch, measurer), measurer, across=across, down=down)
    pixels = np.flip(batch.pixels, axes) if axes else batch.pixels
    tokens, measured = measurer(pixels.copy())
    np.testing.assert_array_equal(seen["pixels"], pixels)
    np.testing.assert_array_equal(seen["mask"], np.flip(batch.mask, axes) if axes else batch.mask)
    torch.testing.assert_close(seen["tokens"].float(), tokens, atol=2e-3, rtol=0)
    apart = (seen["evidence"].float() - measured).abs().amax((0, 2, 3))
    leaning = _first_differences(kinds) if axes else []  # first differences look to the other side
    assert all(gap < 4e-3 for channel, gap in enumerate(apart.tolist()) if channel not in leaning)
    torch.testing.assert_close(seen["evidence"].float().mean((0, 2, 3)), measured.mean((0, 2, 3)), atol=0.05, rtol=0)


def _first_differences(kinds: tuple[ResidualKind, ...]) -> list[int]:
    """Maps of the evidence that hold first differences: the first two residuals' magnitudes and flatness."""
    if "noise" not in kinds:
        return []
    start = 4 + (96 if "dct" in kinds else 0) + (18 if "ghosts" in kinds else 0)
    return [start + half + channel for half in (0, 15) for channel in range(6)]


def test_mirrored_matches_point_to_mirrored_partners() -> None:
    rng = np.random.default_rng(1)
    pixels = make_photo(rng, 192, 256)
    pixels = np.clip(pixels + rng.normal(0, 20, pixels.shape), 0, 255).astype(np.uint8)
    pixels[40:104, 160:224] = pixels[56:120, 24:88]
    batch = {
        "pixels": torch.from_numpy(pixels.transpose(2, 0, 1)[None].copy()),
        "mask": torch.zeros(1, 192, 256, dtype=torch.uint8),
        "matches": torch.from_numpy(self_matches(pixels)[None]),
        "tokens": torch.zeros(1, 1, 2),
        "evidence": torch.zeros(1, 30, 24, 32),
        "label": torch.zeros(1),
    }

    class One:
        grid = (1, 1)
        evidence = BlockEvidence(("grid",))

    mirrored = flipped(batch, One(), across=True, down=True)["matches"][0]  # type: ignore[arg-type]
    strength, x, y = batch["matches"][0][[0, 3, 4]]
    assert strength.max() > 0, "the copy is found"
    row, column = divmod(int(strength.argmax()), 32)
    assert mirrored[0, 23 - row, 31 - column] == strength.max()
    assert mirrored[3, 23 - row, 31 - column] == -x[row, column]
    assert mirrored[4, 23 - row, 31 - column] == -y[row, column]


@pytest.mark.parametrize("count", [1, 2])
def test_makers_make_what_is_wanted_and_what_one_process_would(
    count: int, source: PictureSource, tmp_path: Path
) -> None:
    store, here = BatchStore(tmp_path / "store"), source.forge()
    with Makers(source, store, count=count) as makers:
        makers.want(range(2))
        for number in range(2):
            made = wait_for(store, number)
            assert torch.equal(made["pixels"], torch.from_numpy(here.batch(number, 4).pixels))
        makers.want(range(1, 4))
        wait_for(store, 3)
        assert 0 not in store.numbers()
    assert set(store.numbers()) >= {1, 3}


def test_a_photo_that_is_gone_is_named_where_its_batch_is_waited_for(source: PictureSource, tmp_path: Path) -> None:
    missing = tmp_path / "gone.png"
    lost = PictureSource(**{**vars(source), "photos": (missing,)})
    store = BatchStore(tmp_path / "store")
    store.folder.mkdir()
    with Makers(lost, store, count=1) as makers:
        makers.want(range(1))
        with pytest.raises(VilacoError, match=r"gone\.png"):
            wait_for(store, 0)
    assert (store.folder / FAULT).exists()
    with Makers(source, store, count=1) as makers:  # the photo is back: the fault is forgotten
        makers.want(range(1))
        wait_for(store, 0)


def test_a_maker_that_is_killed_is_told_of_where_its_batch_is_waited_for(source: PictureSource, tmp_path: Path) -> None:
    store = BatchStore(tmp_path / "store")
    with Makers(source, store, count=1) as makers:
        makers._processes[0].kill()
        with pytest.raises(VilacoError, match="a process that makes pictures ended"):
            wait_for(store, 0)


def stage_pictures(source: PictureSource, store: BatchStore | None, **plan: Any) -> StagePictures:
    return StagePictures(
        source,
        [],
        scales=(),
        store=store,
        plan=ReusePlan(**{"uses": 4, "chunk": 1, "seed": 0, **plan}),
        measurer=source.measurer(),
    )


def test_a_step_sees_its_planned_batch_in_a_mirror_of_its_own(source: PictureSource, tmp_path: Path) -> None:
    store, forge, measurer = BatchStore(tmp_path), source.forge(), source.measurer()
    pictures = stage_pictures(source, store)
    mirrors = set()
    for step in range(20):
        number = pictures.plan.number(step)
        if store.read(number) is None:
            make_batch(forge, measurer, store, number, 4)
        plain, seen = store.read(number), pictures[step]
        assert plain is not None
        views = {
            (across, down): flipped(plain[0], measurer, across=across, down=down)["pixels"]
            for across in (False, True)
            for down in (False, True)
        }
        mirrors |= {view for view, pixels in views.items() if torch.equal(pixels, seen["pixels"])}
        assert torch.equal(seen["pixels"], pictures[step]["pixels"])
    assert len(mirrors) == 4


@pytest.mark.parametrize("ahead", [True, False])
def test_devices_share_a_batch_without_overlap(ahead: bool, source: PictureSource, tmp_path: Path) -> None:
    store = BatchStore(tmp_path) if ahead else None
    if store:
        make_batch(source.forge(), source.measurer(), store, 0, 4)
    whole = stage_pictures(source, store)[0]
    parts = []
    for rank in range(2):
        pictures = stage_pictures(source, store)
        pictures.rank, pictures.world = rank, 2
        parts.append(pictures[0])
    for name, value in whole.items():
        assert torch.equal(torch.stack([parts[0][name], parts[1][name]], dim=1).flatten(0, 1), value)


def test_without_a_store_each_step_has_a_batch_of_its_own(source: PictureSource) -> None:
    pictures, forge = (
        stage_pictures(source, None),
        ForgedPictures(source.photos, config=source.config, seed=source.seed),
    )
    for step in (0, 3):
        seen = pictures[step]
        assert torch.equal(seen["pixels"], torch.from_numpy(forge.batch(step, 4).pixels))
        assert seen["view"].shape == (4, 3, 64, 64)
        assert "tokens" not in seen
