"""ViLaCo with the residual stream: what it sees, what it trains, and the runtime that runs it in tiles."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from pydantic import ValidationError
from torch.nn import functional as F
from torch.testing import assert_close

from pictures import make_photo, make_textured
from vilaco.encoders import EncoderConfig, load_encoder
from vilaco.encoders.base import VisionLanguageEncoder
from vilaco.images import resize_pixels
from vilaco.localizer import Localizer
from vilaco.matching import self_matches
from vilaco.method.checkpoint import load_checkpoint, save_checkpoint
from vilaco.method.fine_head import MaskDecoder
from vilaco.method.native_decoder import NativeDecoder, NativeDecoderConfig, NativeFeatures
from vilaco.method.residuals import KINDS, ResidualConfig
from vilaco.method.self_forged import SelfForgedObjectiveConfig, self_forged_losses
from vilaco.method.vilaco import ViLaCo, ViLaCoConfig
from vilaco.runtimes import torch as torch_runtime
from vilaco.runtimes.torch import TorchRuntime


@pytest.fixture(scope="module")
def encoder(tiny_clip: Path) -> VisionLanguageEncoder:
    return load_encoder(EncoderConfig(family="clip", checkpoint=str(tiny_clip)))


def build(settings: dict[str, Any], encoder: VisionLanguageEncoder, **changes: Any) -> ViLaCo:
    torch.manual_seed(0)
    return ViLaCo(ViLaCoConfig.model_validate({**settings, **changes}), encoder)


@pytest.fixture(scope="module")
def model(tiny_forensic: dict[str, Any], encoder: VisionLanguageEncoder) -> ViLaCo:
    return build(tiny_forensic, encoder).eval()


def batch(*pictures: np.ndarray) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """View in [0, 1], stored pixels in [0, 255] and matches of pictures of one size."""
    views = np.stack([resize_pixels(picture, (64, 64)) for picture in pictures])
    to_tensor = lambda stack: torch.from_numpy(stack).permute(0, 3, 1, 2).float()  # noqa: E731
    matches = torch.from_numpy(np.stack([self_matches(picture) for picture in pictures]))
    return to_tensor(views) / 255, to_tensor(np.stack(pictures)), matches


def with_a_copy(rng: np.random.Generator, height: int, width: int) -> np.ndarray:
    """A textured picture with a third of it pasted to its right half."""
    picture = make_textured(rng, height, width)
    picture[10 : height - 10, width // 2 : width - 10] = picture[10 : height - 10, 5 : width - width // 2 - 5]
    return picture


def test_decoder_draws_at_four_pixels_a_cell_from_grids_of_any_shape() -> None:
    torch.manual_seed(0)
    residuals = ResidualConfig(channels=16, deep_channels=24, fine_channels=8)
    decoder = NativeDecoder(2, 12, 5, residuals, NativeDecoderConfig(token_channels=8, channels=16, fine_channels=8))
    for h, w, gh, gw in ((1, 1, 2, 2), (5, 9, 3, 4), (12, 3, 8, 8)):
        native = NativeFeatures(
            fine=torch.randn(2, 8, 2 * h, 2 * w),
            shallow=torch.randn(2, 16, h, w),
            deep=torch.randn(2, 24, -(-h // 2), -(-w // 2)),
            matches=torch.randn(2, 5, h, w),
        )
        similarity, tokens = torch.randn(2, 2, gh, gw), torch.randn(2, gh * gw, 12)
        logits = decoder(similarity, tokens, native)
        assert logits.shape == (2, 2 * h, 2 * w)
        assert_close(decoder(similarity[1:], tokens[1:], _second(native)), logits[1:], atol=1e-5, rtol=1e-4)


def _second(native: NativeFeatures) -> NativeFeatures:
    assert native.matches is not None
    return NativeFeatures(native.fine[1:], native.shallow[1:], native.deep[1:], native.matches[1:])


def test_decoder_places_tokens_row_by_row() -> None:
    """A single lit token raises the map in its own corner of a non-square grid."""
    torch.manual_seed(0)
    residuals = ResidualConfig(channels=16, deep_channels=16, fine_channels=8)
    decoder = NativeDecoder(2, 4, 0, residuals, NativeDecoderConfig(token_channels=8, channels=16, fine_channels=8))
    native = NativeFeatures(torch.zeros(1, 8, 12, 24), torch.zeros(1, 16, 6, 12), torch.zeros(1, 16, 3, 6), None)
    similarity, tokens = torch.zeros(1, 2, 3, 6), torch.zeros(1, 18, 4)
    lit = tokens.clone()
    lit[0, 1 * 6 + 4] = 9.0  # row 1, column 4
    moved = (decoder(similarity, lit, native) - decoder(similarity, tokens, native)).abs()[0]
    cells = F.adaptive_avg_pool2d(moved[None, None], (3, 6))[0, 0]
    assert cells.argmax().item() == 1 * 6 + 4


@pytest.mark.parametrize("size", [(64, 64), (72, 96), (67, 101), (9, 9), (8, 8), (1, 1), (120, 33)])
@torch.no_grad()
def test_the_map_has_the_photos_size(model: ViLaCo, size: tuple[int, int]) -> None:
    output = model(*batch(make_photo(np.random.default_rng(0), *size)))
    assert output.mask_logits.shape == output.localization_logits.shape == (1, *size)
    assert output.patch_logits.shape == (1, 8, 8)
    assert output.grid == (8, 8)
    assert torch.isfinite(output.mask_logits).all()
    assert 0 < output.detection_scores.item() < 1


@torch.no_grad()
def test_a_picture_alone_is_itself_in_a_batch(model: ViLaCo) -> None:
    rng = np.random.default_rng(1)
    view, pixels, matches = batch(make_photo(rng, 90, 157), with_a_copy(rng, 90, 157), with_a_copy(rng, 90, 157))
    assert matches[1].any()
    together, alone = model(view, pixels, matches), model(view[1:2], pixels[1:2], matches[1:2])
    assert_close(together.mask_logits[1:2], alone.mask_logits, atol=1e-4, rtol=1e-4)
    assert_close(together.detection_scores[1:2], alone.detection_scores)


def test_pixels_are_asked_for(model: ViLaCo) -> None:
    with pytest.raises(ValueError, match="reads the stored pixels"):
        model(torch.rand(1, 3, 64, 64))
    with pytest.raises(ValueError, match="where the picture repeats itself"):
        model(torch.rand(1, 3, 64, 64), torch.rand(1, 3, 40, 56))


@torch.no_grad()
def test_matches_are_asked_for_only_where_they_are_weighed(
    model: ViLaCo, tiny_forensic: dict[str, Any], encoder: VisionLanguageEncoder
) -> None:
    assert model.reads_matches
    view, pixels, matches = batch(with_a_copy(np.random.default_rng(9), 88, 160))
    assert not torch.equal(model(view, pixels, matches).mask_logits, model(view, pixels, 0 * matches).mask_logits)
    without = build(tiny_forensic, encoder, copy_move=None).eval()
    assert not without.reads_matches
    assert torch.equal(without(view, pixels).mask_logits, without(view, pixels, matches).mask_logits)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"residuals": None}, "need residuals"),
        ({"residuals": None, "copy_move": None, "patch_features": False}, "need residuals"),
        ({"copy_move": {"min_distance": 33}}, "min_distance"),
    ],
)
def test_boxes_that_do_not_fit_together_are_refused(
    tiny_forensic: dict[str, Any], changes: dict[str, Any], words: str
) -> None:
    with pytest.raises(ValidationError, match=words):
        ViLaCoConfig.model_validate({**tiny_forensic, **changes})


BEFORE_A_SOFTMAX = "aggregator.score.2.bias"  # adds the same to every patch; rounding alone gives it a gradient
SEES_ZEROS = ["fine_head.decoder.from_fine.weight"]  # without learned residuals there is nothing at 4 pixels a cell


@pytest.mark.parametrize(
    ("changes", "without_gradient"),
    [
        ({}, []),
        ({"copy_move": None}, []),
        ({"patch_features": False}, []),
        ({"adapter": None, "aggregator": None}, []),
        *(({"residuals": {"kinds": [kind]}}, SEES_ZEROS) for kind in KINDS[:-1]),
        ({"residuals": {"kinds": ["learned"]}}, []),
    ],
)
def test_every_trainable_weight_learns_and_the_encoder_stays(
    tiny_forensic: dict[str, Any],
    encoder: VisionLanguageEncoder,
    changes: dict[str, Any],
    without_gradient: list[str],
) -> None:
    if "residuals" in changes:
        changes = {"residuals": {**tiny_forensic["residuals"], **changes["residuals"]}}
    model = build(tiny_forensic, encoder, **changes)
    frozen = {name: value.clone() for name, value in encoder.state_dict().items()}
    assert not any(isinstance(module, MaskDecoder) for module in model.modules())  # the paper's, which would idle
    rng = np.random.default_rng(2)
    view, pixels, matches = batch(*(with_a_copy(rng, 96, 144) for _ in range(4)))
    assert matches[:, 0].any()
    target, weight = torch.zeros(4, 96, 144), torch.ones(4, 96, 144)
    target[0, 8:32, 8:56] = 1
    weight[1] = 0
    trainable = {name: value for name, value in model.named_parameters() if value.requires_grad}
    before = {name: value.detach().clone() for name, value in trainable.items()}
    optimiser = torch.optim.SGD(trainable.values(), lr=1.0)
    labels, config = torch.tensor([1, 1, 0, 0]), SelfForgedObjectiveConfig()
    self_forged_losses(model(view, pixels, matches), labels, target, weight, config, progress=1.0).total.backward()
    idle = [name for name, value in trainable.items() if value.grad is None or not value.grad.any()]
    assert [name for name in idle if name != BEFORE_A_SOFTMAX] == without_gradient
    optimiser.step()
    assert not torch.equal(
        before["residuals.front_end.project.weight"], trainable["residuals.front_end.project.weight"]
    )
    assert not any(name.startswith("encoder.") for name in trainable)
    assert all(parameter.grad is None for parameter in encoder.parameters())
    for name, value in encoder.state_dict().items():
        assert torch.equal(value, frozen[name]), name


@torch.no_grad()
def test_without_patch_features_the_encoder_has_no_say(
    tiny_forensic: dict[str, Any], encoder: VisionLanguageEncoder
) -> None:
    model = build(tiny_forensic, encoder, patch_features=False, copy_move=None).eval()
    view, pixels, _ = batch(make_photo(np.random.default_rng(3), 40, 56))
    assert torch.equal(model(view, pixels).mask_logits, model(torch.rand_like(view), pixels).mask_logits)
    whole = build(tiny_forensic, encoder, copy_move=None).eval()
    assert not torch.equal(whole(view, pixels).mask_logits, whole(torch.rand_like(view), pixels).mask_logits)


@torch.no_grad()
def test_pooled_pixels_meet_the_tokens_of_their_own_place(model: ViLaCo) -> None:
    """Grain in one patch of a flat photo, three wide and two high, moves the token of that place the most."""
    flat = np.full((128, 192, 3), 120, np.uint8)
    grainy = flat.copy()
    grainy[32:48, 120:144] = np.random.default_rng(4).integers(0, 256, (16, 24, 3))  # patch row 2, column 5 of 8 x 8
    moved = []
    for picture in (flat, grainy):
        _, pixels, matches = batch(picture)
        fine, cells = model.residuals.front_end(pixels)
        native = model.native_features(fine, cells, matches)
        parts = NativeFeatures(native.fine, native.shallow, F.interpolate(cells, scale_factor=0.5), native.matches)
        moved.append(model._native_tokens(parts, (8, 8)))
    assert (moved[1] - moved[0]).norm(dim=2)[0].argmax().item() == 2 * 8 + 5


@pytest.mark.parametrize("size", [(72, 96), (131, 90), (9, 9), (91, 200)])
def test_the_runtimes_tiles_are_the_whole(model: ViLaCo, size: tuple[int, int], monkeypatch) -> None:
    monkeypatch.setattr(torch_runtime, "TILE", 40)
    rng = np.random.default_rng(5)
    photo = with_a_copy(rng, *size) if size[1] > 150 else rng.integers(0, 256, (*size, 3), dtype=np.uint8)
    view, pixels, matches = batch(photo)
    assert matches.any() == (size[1] > 150)
    with torch.no_grad():
        expected = model(view, pixels, matches)
    runtime = TorchRuntime(model, fingerprint="0" * 64, device="cpu")
    assert runtime.reads_pixels
    answer = runtime(resize_pixels(photo, (64, 64))[None], [photo])
    assert answer.localization_logits[0].shape == size
    np.testing.assert_allclose(answer.localization_logits[0], expected.localization_logits[0], atol=2e-4)
    np.testing.assert_allclose(answer.detection_scores, expected.detection_scores, atol=1e-5)


def test_the_runtime_takes_photos_of_several_sizes_at_once(model: ViLaCo) -> None:
    rng = np.random.default_rng(6)
    photos = [make_photo(rng, *size) for size in ((40, 60), (71, 33))]
    runtime = TorchRuntime(model, fingerprint="0" * 64, device="cpu")
    answer = runtime(np.stack([resize_pixels(photo, (64, 64)) for photo in photos]), photos)
    assert [logits.shape for logits in answer.localization_logits] == [(40, 60), (71, 33)]
    alone = runtime(resize_pixels(photos[1], (64, 64))[None], photos[1:])
    np.testing.assert_allclose(answer.localization_logits[1], alone.localization_logits[0], atol=1e-4)
    assert answer.detection_scores[1] == pytest.approx(alone.detection_scores[0], abs=1e-5)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_turned_photo_is_judged_on_its_stored_grid_and_answered_upright(
    model: ViLaCo, tmp_path: Path, orientation: int
) -> None:
    pixels = np.random.default_rng(7).integers(0, 256, (56, 75, 3), dtype=np.uint8)  # stored
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(pixels).save(tmp_path / "turned.png", exif=exif)
    turned = {
        1: lambda a: a, 2: np.fliplr, 3: lambda a: np.rot90(a, 2), 4: np.flipud,
        5: np.transpose, 6: lambda a: np.rot90(a, -1), 7: lambda a: np.rot90(np.transpose(a), 2), 8: np.rot90,
    }[orientation]  # fmt: skip
    localizer = Localizer(TorchRuntime(model, fingerprint="0" * 64, device="cpu"), name="tiny")
    plain, result = localizer(pixels), localizer(tmp_path / "turned.png")
    np.testing.assert_array_equal(result.localization_map, turned(plain.localization_map))
    assert result.detection_score == plain.detection_score


def test_a_model_folder_brings_it_back(model: ViLaCo, encoder: VisionLanguageEncoder, tmp_path: Path) -> None:
    save_checkpoint(model, tmp_path / "model")
    loaded, _ = load_checkpoint(tmp_path / "model", encoder)
    inputs = batch(make_photo(np.random.default_rng(8), 50, 70))
    with torch.no_grad():
        assert torch.equal(loaded(*inputs).mask_logits, model(*inputs).mask_logits)
    assert loaded.config == model.config
