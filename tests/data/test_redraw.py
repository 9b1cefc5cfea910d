"""Re-drawing by a tiny autoencoder: with random weights, and with real ones where the pool lies beside the project."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional as F
from torch.testing import assert_close

from autoencoders import write_autoencoder
from pictures import make_photo
from vilaco.data.forge.config import ForgeConfig
from vilaco.data.forge.photos import load_autoencoder
from vilaco.data.forge.redraw import CELL, MARGIN, Autoencoder, redraw
from vilaco.data.forge.shapes import Frame, Shape, random_shape
from vilaco.errors import DataError

ROOT = Path(__file__).parents[2]
REAL = ROOT.parent / "pool/tiny_autoencoder"


@pytest.fixture(scope="module", params=[False, True], ids=["plain", "normed"])
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_autoencoder(tmp_path_factory.mktemp("autoencoder"), with_norms=request.param)


def test_what_is_loaded_draws_what_its_parts_do(folder: Path) -> None:
    pixels = make_photo(np.random.default_rng(0), 48, 64)
    autoencoder = Autoencoder.load(folder)
    drawn = autoencoder.redraw(pixels, np.random.default_rng(1))
    view = torch.from_numpy(pixels / np.float32(255)).permute(2, 0, 1)[None]
    latents = autoencoder.encoder(view)
    assert latents.shape == (1, 4, 48 // CELL, 64 // CELL)
    expected = autoencoder.decoder(latents)[0].clamp(0, 1).permute(1, 2, 0).detach().numpy() * 255
    assert np.abs(drawn - expected).mean() < 2  # of what bfloat16 and whole grey levels leave
    noisy = [autoencoder.redraw(pixels, np.random.default_rng(seed), noise=0.2) for seed in (1, 1, 2)]
    np.testing.assert_array_equal(noisy[0], noisy[1])
    assert (noisy[0] != noisy[2]).any()
    assert (noisy[0] != drawn).any()


def worked_through(weights: dict[str, torch.Tensor], features: torch.Tensor, *, encoder: bool) -> torch.Tensor:
    """A TAESD layer by layer from the names of its weights, as its authors number them (nn.Sequential)."""
    for number in range(1 + max(int(name.partition(".")[0]) for name in weights)):
        if f"{number}.weight" in weights:
            stride = 2 if encoder and f"{number}.bias" not in weights else 1
            kernel, bias = weights[f"{number}.weight"], weights.get(f"{number}.bias")
            features = F.conv2d(features, kernel, bias, stride=stride, padding=1)
        elif f"{number}.conv.0.weight" in weights:
            if f"{number}.pool.0.weight" in weights:
                wide = F.conv2d(features, weights[f"{number}.pool.0.weight"])
                wide = F.group_norm(wide, 4, weights[f"{number}.pool.1.weight"], weights[f"{number}.pool.1.bias"])
                features = features + F.conv2d(F.relu(wide), weights[f"{number}.pool.3.weight"])
            inner = features
            for layer in (0, 2, 4):
                kernel, bias = weights[f"{number}.conv.{layer}.weight"], weights[f"{number}.conv.{layer}.bias"]
                inner = F.conv2d(F.relu(inner) if layer else inner, kernel, bias, padding=1)
            features = F.relu(features + inner)
        elif number == 0:
            features = 3 * torch.tanh(features / 3)
        elif number == 2:
            features = F.relu(features)
        else:
            features = features.repeat_interleave(2, dim=2).repeat_interleave(2, dim=3)
    return features


@torch.inference_mode()
def test_the_network_is_the_one_that_its_weights_are_named_for(folder: Path) -> None:
    autoencoder = Autoencoder.load(folder)
    view = torch.rand(1, 3, 24, 32, generator=torch.Generator().manual_seed(0))
    encoder, decoder = (dict(part.state_dict()) for part in (autoencoder.encoder, autoencoder.decoder))
    latents = worked_through(encoder, view, encoder=True)
    assert_close(autoencoder.encoder(view), latents, atol=1e-5, rtol=1e-4)
    far = 40 * latents
    assert_close(autoencoder.decoder(far), worked_through(decoder, far, encoder=False), atol=1e-5, rtol=1e-4)


class Inverting(Autoencoder):
    """Draws the negative, so that each pixel tells where it comes from."""

    def __init__(self) -> None: ...

    def redraw(self, pixels: np.ndarray, rng: np.random.Generator, *, noise: float = 0.0) -> np.ndarray:
        assert pixels.shape[0] % CELL == pixels.shape[1] % CELL == 0
        return 255 - pixels


@pytest.mark.parametrize("seed", range(20))
def test_the_region_is_drawn_in_its_place_whatever_the_phase(seed: int) -> None:
    rng = np.random.default_rng(seed)
    host = rng.integers(0, 256, (90, 130, 3), dtype=np.uint8)
    frame = Frame(7, 5, 80, 118)
    shape = random_shape(frame, float(rng.uniform(50, 4000)), rng)
    patch = redraw(host, shape, frame, Inverting(), rng, ForgeConfig(soft_edge_share=0.0))
    assert patch is not None
    height, width = patch.alpha.shape
    assert frame.top <= patch.top <= shape.top
    assert patch.top + height <= frame.top + frame.height
    assert frame.left <= patch.left <= shape.left
    assert patch.left + width <= frame.left + frame.width
    np.testing.assert_array_equal(
        patch.pixels, 255 - host[patch.top : patch.top + height, patch.left : patch.left + width]
    )
    placed = np.zeros(host.shape[:2], bool)
    placed[patch.top : patch.top + height, patch.left : patch.left + width] = patch.alpha > 0
    wanted = np.zeros(host.shape[:2], bool)
    rows, columns = shape.mask.shape
    wanted[shape.top : shape.top + rows, shape.left : shape.left + columns] = shape.mask
    inside = np.zeros_like(wanted)
    inside[: patch.top + height, : patch.left + width] = True
    np.testing.assert_array_equal(placed, wanted & inside)
    assert patch.top + height > shape.top + rows - CELL  # what no whole latent is left for
    assert patch.left + width > shape.left + columns - CELL


def test_a_region_is_encoded_with_its_surroundings_and_a_sliver_is_not() -> None:
    host = np.zeros((200, 200, 3), np.uint8)
    shape = Shape(np.ones((20, 20), bool), 90, 90, "rectangle")
    patch = redraw(host, shape, Frame(0, 0, 200, 200), Inverting(), np.random.default_rng(0), ForgeConfig())
    assert patch is not None
    assert 90 - MARGIN - CELL < patch.top <= 90 - MARGIN
    assert patch.top + len(patch.alpha) >= 110 + MARGIN
    narrow = Frame(90, 90, 7, 200)
    assert redraw(host, shape, narrow, Inverting(), np.random.default_rng(0), ForgeConfig()) is None


def test_what_is_no_autoencoder_is_refused_in_one_line(folder: Path, tmp_path: Path) -> None:
    assert load_autoencoder(None) is None
    with pytest.raises(DataError, match=r"no \*encoder.pth"):
        load_autoencoder(tmp_path)
    (tmp_path / "an_encoder.pth").write_bytes(b"no weights")
    with pytest.raises(DataError, match=r"an_encoder.pth: "):
        load_autoencoder(tmp_path)
    (tmp_path / "a_decoder.safetensors").write_bytes((folder / "some_decoder.safetensors").read_bytes())
    for other in ({"weight": torch.zeros(3)}, {"14.weight": 3}, [torch.zeros(3)], 7):
        torch.save(other, tmp_path / "an_encoder.pth")
        with pytest.raises(DataError, match="not those of a TAESD"):
            load_autoencoder(tmp_path)
    (tmp_path / "a_decoder.safetensors").write_bytes(b"cut")
    with pytest.raises(DataError, match=r"a_decoder.safetensors: cannot be read"):
        load_autoencoder(tmp_path)


@pytest.mark.skipif(not REAL.is_dir(), reason=f"needs the tiny autoencoder of the pool in {REAL}")
def test_a_real_one_draws_the_photo_again() -> None:
    autoencoder = Autoencoder.load(REAL)
    from vilaco.images import load_photo

    pixels = load_photo(ROOT / "examples/photos/authentic/china.jpg").pixels[:256, :384]
    difference = np.abs(autoencoder.redraw(np.ascontiguousarray(pixels), np.random.default_rng(0)).astype(int) - pixels)
    assert 1 < difference.mean() < 12
