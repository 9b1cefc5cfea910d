"""The residual stream against slow, obvious versions, and on pictures that really went through a JPEG file."""

import io
import itertools

import cv2
import numpy as np
import pytest
import torch
from PIL import Image
from pydantic import ValidationError
from scipy import ndimage
from scipy.fft import dctn
from torch.testing import assert_close

from vilaco.block_dct import block_dct, luma
from vilaco.images import resave_jpeg, tile_rows
from vilaco.method.residuals import (
    BLOCK,
    FINE,
    GHOST_QUALITIES,
    HALO,
    KINDS,
    BlockEvidence,
    ConstrainedConv,
    FrontEnd,
    ResidualConfig,
    ResidualStream,
    area_pool,
    dct_matrix,
    high_pass_residuals,
    quantisation_table,
    to_ycc,
    zigzag,
)
from vilaco.method.vilaco import pad_to_blocks

SMALL = {"channels": 16, "deep_channels": 16, "fine_channels": 8, "depth": 1, "dilations": (1,)}
ZIGZAG_OF_T81 = [0, 1, 8, 16, 9, 2, 3, 10, 17, 24, 32, 25, 18, 11, 4, 5]  # figure A.6, its first 16


def textured(seed: int, height: int, width: int) -> np.ndarray:
    """Soft colours with grain, ``(height, width, 3)`` uint8: every block has something to quantise."""
    rng = np.random.default_rng(seed)
    soft = cv2.resize(rng.random((6, 8, 3), np.float32) * 160 + 40, (width, height), interpolation=cv2.INTER_CUBIC)
    grain = cv2.GaussianBlur(rng.normal(0, 24, (height, width, 3)), (0, 0), 0.7)
    return np.clip(soft + grain, 0, 255).astype(np.uint8)


def batch_of(*pictures: np.ndarray) -> torch.Tensor:
    return torch.stack([torch.from_numpy(picture.copy()).permute(2, 0, 1) for picture in pictures]).float()


def evidence(kind: str, pixels: torch.Tensor) -> torch.Tensor:
    """The maps of one kind, without the four that are always there."""
    return BlockEvidence((kind,))(pixels)[:, 4:]  # type: ignore[arg-type]


def ycc(picture: np.ndarray) -> np.ndarray:
    return to_ycc(batch_of(picture))[0].double().numpy()


@pytest.mark.parametrize("quality", [5, 30, 49, 50, 51, 75, 90, 95, 100])
def test_quantisation_tables_are_those_that_libjpeg_writes(quality: int) -> None:
    stream = io.BytesIO()
    Image.fromarray(textured(0, 16, 16)).save(stream, "JPEG", quality=quality)
    written = Image.open(stream).quantization  # row by row
    assert quantisation_table("luma", quality).tolist() == written[0]
    assert quantisation_table("chroma", quality).tolist() == written[1]


def test_zigzag_is_the_standards_order() -> None:
    order = zigzag()
    assert order[:16] == ZIGZAG_OF_T81
    assert sorted(order) == list(range(64))
    assert order[-3:] == [55, 62, 63]


def test_dct_is_scipys_block_by_block_in_every_channel() -> None:
    picture = textured(1, 24, 40)
    maps = evidence("dct", batch_of(picture))[0].double().numpy()
    planes = ycc(picture)
    assert maps.shape == (96, 3, 5)
    for row, column in itertools.product(range(3), range(5)):
        window = np.s_[8 * row : 8 * row + 8, 8 * column : 8 * column + 8]
        blocks = [dctn(plane[window], norm="ortho").ravel() for plane in planes]
        kept = np.concatenate([blocks[0], blocks[1][ZIGZAG_OF_T81], blocks[2][ZIGZAG_OF_T81]])
        np.testing.assert_allclose(maps[:, row, column], np.log1p(np.abs(kept)) / 2, atol=2e-3)


def test_dct_agrees_with_the_evaluations_own() -> None:
    picture = textured(2, 16, 24)
    expected = block_dct(luma(picture) - 128).reshape(2, 3, 64)
    magnitudes = evidence("dct", batch_of(picture))[0, :64].permute(1, 2, 0).numpy()
    np.testing.assert_allclose(magnitudes, np.log1p(np.abs(expected)) / 2, atol=2e-3)
    assert_close(dct_matrix().double() @ dct_matrix().double().T, torch.eye(64, dtype=torch.float64), atol=1e-6, rtol=0)


def test_what_is_always_measured_is_the_mean_colour_and_the_spread() -> None:
    picture = textured(3, 16, 16)
    maps = BlockEvidence(("learned",))(batch_of(picture))[0].double().numpy()
    planes = ycc(picture)
    assert maps.shape == (4, 2, 2)
    for row, column in itertools.product(range(2), range(2)):
        blocks = planes[:, 8 * row : 8 * row + 8, 8 * column : 8 * column + 8]
        np.testing.assert_allclose(maps[:3, row, column], blocks.mean(axis=(1, 2)) * 8 / 512, atol=1e-5)
        spread = ((blocks[0] - blocks[0].mean()) ** 2).sum() / 63  # Parseval: all but the constant term
        np.testing.assert_allclose(maps[3, row, column], np.log(spread + 1) / 4, atol=1e-5)


def test_ghosts_are_the_slow_loops() -> None:
    picture = textured(4, 16, 24)
    maps = evidence("ghosts", batch_of(picture))[0]
    planes = ycc(picture)
    assert maps.shape == (18, 2, 3)
    for row, column in itertools.product(range(2), range(3)):
        window = np.s_[8 * row : 8 * row + 8, 8 * column : 8 * column + 8]
        expected = []
        for quality in GHOST_QUALITIES:
            for plane, kind in zip(planes, ("luma", "chroma", "chroma"), strict=True):
                missed_sum, weight_sum = 0.0, 0.5
                steps = quantisation_table(kind, quality).tolist()
                for coefficient, step in zip(dctn(plane[window], norm="ortho").ravel(), steps, strict=True):
                    units = coefficient / step
                    weight = min(max(abs(units) - 0.5, 0.0), 1.0)
                    missed_sum += weight * abs(units - round(units))
                    weight_sum += weight
                expected.append(2 * missed_sum / weight_sum)
        np.testing.assert_allclose(maps[:, row, column].numpy(), expected, atol=2e-3)


@pytest.mark.parametrize("quality", GHOST_QUALITIES)
def test_a_saved_picture_has_its_lowest_ghost_at_its_own_quality(quality: int) -> None:
    saved = resave_jpeg(textured(5, 128, 128), quality, subsampling="4:4:4")
    ghosts = evidence("ghosts", batch_of(saved))[0].unflatten(0, (6, 3)).mean(dim=(2, 3))  # (quality, channel)
    for channel in range(3):
        assert GHOST_QUALITIES[ghosts[:, channel].argmin()] == quality
    off_grid = evidence("ghosts", batch_of(saved[3:-5, 5:-3]))[0].unflatten(0, (6, 3)).mean(dim=(2, 3))
    lower = GHOST_QUALITIES.index(quality)
    assert ghosts[lower, 0] < 0.6 * off_grid[lower, 0]  # on another grid nothing fits


def test_high_pass_residuals_are_scipys_correlations() -> None:
    planes = torch.randn(2, 3, 9, 7, dtype=torch.float64)
    second = np.array([0.5, -1.0, 0.5])
    kernels = [
        np.array([[0.0, -1.0, 1.0]]),
        np.array([[0.0], [-1.0], [1.0]]),
        second[None],
        second[:, None],
        second[:, None] * second,
    ]
    for residual, kernel in zip(high_pass_residuals(planes), kernels, strict=True):
        for got, plane in zip(residual.flatten(0, 1), planes.flatten(0, 1), strict=True):
            expected = ndimage.correlate(plane.numpy(), kernel, mode="nearest")
            np.testing.assert_allclose(got.numpy(), expected, atol=1e-12)


def test_noise_maps_are_the_slow_loops() -> None:
    picture = textured(6, 16, 24)
    maps = evidence("noise", batch_of(picture))[0].numpy()
    residuals = torch.cat(high_pass_residuals(to_ycc(batch_of(picture))), dim=1)[0].abs().numpy()
    assert maps.shape == (30, 2, 3)
    for row, column in itertools.product(range(2), range(3)):
        block = residuals[:, 8 * row : 8 * row + 8, 8 * column : 8 * column + 8]
        np.testing.assert_allclose(maps[:15, row, column], np.log(block.mean(axis=(1, 2)) + 0.1) / 2, atol=1e-5)
        flat = np.maximum(1 - block, 0).mean(axis=(1, 2))
        np.testing.assert_allclose(maps[15:, row, column], flat, atol=1e-5)


def test_grid_maps_are_the_slow_loops() -> None:
    picture = textured(7, 16, 24)
    maps = evidence("grid", batch_of(picture))[0].numpy()
    plane = np.pad(ycc(picture)[0], 1, mode="edge")
    assert maps.shape == (16, 2, 3)
    for row, column, phase in itertools.product(range(2), range(3), range(8)):
        across, down = [], []
        for other in range(8):
            y, x = 8 * row + other + 1, 8 * column + phase + 1
            across.append(min(8.0, abs((plane[y, x - 1] + plane[y, x + 1]) / 2 - plane[y, x])))
            y, x = 8 * row + phase + 1, 8 * column + other + 1
            down.append(min(8.0, abs((plane[y - 1, x] + plane[y + 1, x]) / 2 - plane[y, x])))
        assert maps[phase, row, column] == pytest.approx(np.log(np.mean(across) + 0.1) / 2, abs=1e-4)
        assert maps[8 + phase, row, column] == pytest.approx(np.log(np.mean(down) + 0.1) / 2, abs=1e-4)


@pytest.mark.parametrize("shift", range(8))
def test_block_edges_show_in_their_phase_and_move_with_the_crop(shift: int) -> None:
    rng = np.random.default_rng(8)
    soft = cv2.resize(rng.random((9, 9, 3), np.float32) * 255, (168, 168), interpolation=cv2.INTER_CUBIC)
    saved = resave_jpeg(np.clip(soft, 0, 255).astype(np.uint8), 20)
    down, across = (shift, (shift + 3) % 8)  # another shift along each side
    crop = saved[down : down + 160, across : across + 160]
    phases = evidence("grid", batch_of(crop))[0].mean(dim=(1, 2))
    columns, rows = phases[:8], phases[8:]
    # second differences are large on both sides of an edge: in the last column of a block and the first of the next
    assert set(columns.topk(2).indices.tolist()) == {(7 - across) % 8, (8 - across) % 8}
    assert set(rows.topk(2).indices.tolist()) == {(7 - down) % 8, (8 - down) % 8}


def test_constrained_kernels_keep_their_form_through_training() -> None:
    torch.manual_seed(0)
    layer = ConstrainedConv(3, 4)
    optimiser = torch.optim.AdamW(layer.parameters(), lr=0.05)
    before = layer.kernels().detach()
    for _ in range(3):
        optimiser.zero_grad()
        layer(torch.rand(2, 3, 11, 13)).square().sum().backward()
        assert layer.weight.grad.abs().sum() > 0
        optimiser.step()
    kernels = layer.kernels().detach()
    assert not torch.equal(kernels, before)
    assert_close(kernels[:, :, 2, 2], torch.full((4, 3), -1.0))
    others = kernels.sum(dim=(2, 3)) + 1.0
    assert_close(others, torch.ones(4, 3))
    flat = layer(torch.full((1, 3, 9, 9), 200.0))
    assert_close(flat, torch.zeros_like(flat), atol=1e-3, rtol=0)  # high-pass, up to the edges


def test_constrained_convolution_is_scipys() -> None:
    torch.manual_seed(1)
    layer = ConstrainedConv(2, 3).double()
    picture = torch.randn(1, 2, 7, 9, dtype=torch.float64)
    kernels, got = layer.kernels().detach().numpy(), layer(picture)[0].detach().numpy()
    for out in range(3):
        expected = sum(ndimage.correlate(picture[0, c].numpy(), kernels[out, c], mode="nearest") for c in range(2))
        np.testing.assert_allclose(got[out], expected, atol=1e-6)


@pytest.fixture(scope="module")
def front_end() -> FrontEnd:
    torch.manual_seed(0)
    return FrontEnd(ResidualConfig(**SMALL)).eval()


@pytest.mark.parametrize("size", [(96, 160), (89, 131), (40, 264), (8, 8), (200, 72)])
@torch.no_grad()
def test_tiles_of_the_front_end_are_the_whole(front_end: FrontEnd, size: tuple[int, int]) -> None:
    pixels = pad_to_blocks(batch_of(textured(9, *size)))
    whole = front_end(pixels)
    for stride, wanted, index in ((FINE, whole[0], 0), (BLOCK, whole[1], 1)):
        pieced = torch.full_like(wanted, torch.nan)
        for tile in itertools.chain.from_iterable(tile_rows(*pixels.shape[2:], tile=64, halo=HALO)):
            part = front_end(pixels[:, :, tile.outer[0], tile.outer[1]])[index]
            rows, columns = (slice(kept.start // stride, kept.stop // stride) for kept in tile.kept)
            pieced[:, :, rows, columns] = part[:, :, *tile.inner(stride)]
        assert_close(pieced, wanted, atol=1e-5, rtol=1e-4)


@torch.no_grad()
def test_the_front_end_sees_no_further_than_its_halo(front_end: FrontEnd) -> None:
    pixels = batch_of(textured(10, 120, 120))
    changed = pixels.clone()
    changed[:, :, 56:64, 56:64] = torch.rand(1, 3, 8, 8) * 255
    for before, after, stride in zip(front_end(pixels), front_end(changed), (FINE, BLOCK), strict=True):
        moved = (before != after).any(dim=1)[0]
        inside = np.s_[(56 - HALO) // stride : (64 + HALO) // stride]
        assert moved[56 // stride : 64 // stride, 56 // stride : 64 // stride].all()
        moved[inside, inside] = False
        assert not moved.any()


@pytest.mark.parametrize("kinds", [*((kind,) for kind in KINDS), KINDS, ("noise", "learned")])
def test_every_choice_of_kinds_runs_on_any_shape(kinds: tuple[str, ...]) -> None:
    torch.manual_seed(0)
    config = ResidualConfig(**SMALL, kinds=kinds)
    stream = ResidualStream(config)
    for size in ((8, 8), (9, 9), (41, 24)):
        pixels = pad_to_blocks(batch_of(textured(11, *size)))
        assert pixels.shape[2:] == tuple(-(-side // 8) * 8 for side in size)
        h, w = pixels.shape[2] // 8, pixels.shape[3] // 8
        fine, cells = stream.front_end(pixels)
        shallow, deep = stream(cells)
        assert fine.shape == (1, 8, 2 * h, 2 * w)
        assert cells.shape == shallow.shape == (1, 16, h, w)
        assert deep.shape == (1, 16, -(-h // 2), -(-w // 2))
        assert torch.isfinite(deep).all()
        assert (fine != 0).any() == ("learned" in kinds)
    sizes = {"dct": 96, "ghosts": 18, "noise": 30, "grid": 16, "learned": 0}  # the table of BlockEvidence
    assert stream.front_end.evidence.out_channels == 4 + sum(sizes[kind] for kind in kinds)


@torch.no_grad()
def test_a_picture_alone_is_itself_in_a_batch() -> None:
    torch.manual_seed(0)
    stream = ResidualStream(ResidualConfig(**SMALL)).eval()
    pixels = batch_of(*(textured(seed, 24, 40) for seed in range(3)))
    together, alone = stream(stream.front_end(pixels)[1]), stream(stream.front_end(pixels[1:2])[1])
    for a, b in zip(together, alone, strict=True):
        assert_close(a[1:2], b, atol=1e-5, rtol=1e-4)


def test_padding_repeats_the_last_row_and_column_and_leaves_whole_blocks_alone() -> None:
    pixels = torch.arange(27.0).view(1, 3, 3, 3)
    padded = pad_to_blocks(pixels)
    assert padded.shape == (1, 3, 8, 8)
    assert_close(padded[:, :, :3, :3], pixels)
    assert_close(padded[:, :, 7, :3], pixels[:, :, 2])
    assert_close(padded[:, :, 7, 7], pixels[:, :, 2, 2])
    whole = torch.rand(1, 3, 16, 8)
    assert torch.equal(pad_to_blocks(whole), whole)


@pytest.mark.parametrize("kinds", [(), ("dct", "dct"), ("srm",)])
def test_wrong_kinds_are_refused(kinds: tuple[str, ...]) -> None:
    with pytest.raises(ValidationError, match="kinds"):
        ResidualConfig(kinds=kinds)  # type: ignore[arg-type]


def slow_area_mean(features: np.ndarray, grid: tuple[int, int]) -> np.ndarray:
    """Every fine cell is cut into ``grid`` times as many equal pieces a side, each of which lies in one coarse cell."""
    fine = np.repeat(np.repeat(features, grid[0], axis=0), grid[1], axis=1)
    h, w = features.shape
    return fine.reshape(grid[0], h, grid[1], w).mean(axis=(1, 3))


@pytest.mark.parametrize("size", [(6, 4), (5, 7), (1, 1), (2, 9)])
@pytest.mark.parametrize("grid", [(3, 2), (4, 5), (1, 1), (8, 8)])
def test_area_pool_is_the_slow_mean(size: tuple[int, int], grid: tuple[int, int]) -> None:
    features = torch.rand(2, 3, *size, dtype=torch.float64, requires_grad=True)
    pooled = area_pool(features, grid)
    assert pooled.shape == (2, 3, *grid)
    for batch, channel in itertools.product(range(2), range(3)):
        expected = slow_area_mean(features[batch, channel].detach().numpy(), grid)
        np.testing.assert_allclose(pooled[batch, channel].detach().numpy(), expected, atol=1e-6)
    assert_close(pooled.mean(dim=(2, 3)), features.mean(dim=(2, 3)), atol=1e-6, rtol=1e-6)  # nothing lost
    pooled.sum().backward()
    share = grid[0] * grid[1] / (size[0] * size[1])  # every fine cell counts alike
    assert_close(features.grad, torch.full_like(features, share), atol=1e-5, rtol=1e-5)


def test_area_pool_to_the_same_grid_changes_nothing() -> None:
    features = torch.rand(1, 2, 5, 7)
    assert torch.equal(area_pool(features, (5, 7)), features)
