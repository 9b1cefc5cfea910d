"""The embedded encoder: a vision-language pair, shown on photos of scikit-image and scikit-learn."""

import subprocess
import sys

import numpy as np
import pytest
import torch
from skimage import data
from sklearn.datasets import load_sample_image
from torch.nn import functional as F

from vilaco.encoders import EncoderConfig, load_encoder
from vilaco.encoders.base import VisionLanguageEncoder
from vilaco.encoders.embedded import (
    build_image_network,
    class_lemmas,
    join_spaces,
    load_image_weights,
    ridge_regression,
)

CAPTIONS = {
    "chelsea": "a photo of a cat",
    "coffee": "a photo of a cup of coffee",
    "rocket": "a photo of a rocket",
    "china": "a photo of a temple",
    "flower": "a photo of a flower",
    "astronaut": "a photo of an astronaut",
}
OTHER_CAPTIONS = ["a photo of a dog", "a photo of a car", "a photo of a motorcycle", "a photo of a fish"]


def as_pixels(photo: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(photo.copy()).permute(2, 0, 1)[None].float() / 255


@pytest.fixture(scope="module")
def encoder() -> VisionLanguageEncoder:
    return load_encoder(EncoderConfig())


@pytest.fixture(scope="module")
def photos() -> dict[str, torch.Tensor]:
    shipped = {name: getattr(data, name)() for name in ["chelsea", "coffee", "rocket", "astronaut"]}
    shipped |= {name: load_sample_image(f"{name}.jpg") for name in ["china", "flower"]}
    return {name: as_pixels(photo) for name, photo in shipped.items()}


@pytest.mark.parametrize("output_stride", [16, 32])
def test_zero_shot_on_shipped_photos(output_stride: int, photos: dict[str, torch.Tensor]) -> None:
    """At least 5 of 6 photos take their own caption of ten; chance is 0.6 of 6."""
    encoder = load_encoder(EncoderConfig(output_stride=output_stride))
    texts = F.normalize(encoder.encode_text([*CAPTIONS.values(), *OTHER_CAPTIONS]), dim=1)
    right = {
        name: int((encoder.encode_image(photos[name]) @ texts.T).argmax()) == index
        for index, name in enumerate(CAPTIONS)
    }
    assert sum(right.values()) >= 5, right


def peak(encoder: VisionLanguageEncoder, pixels: torch.Tensor, prompt: str) -> tuple[float, float]:
    """Height and width of the most similar patch's centre, as shares of the photo's sides."""
    patches = F.normalize(encoder.encode_patches(pixels)[0], dim=1)
    cell = int((patches @ F.normalize(encoder.encode_text([prompt])[0], dim=0)).argmax())
    h, w = encoder.grid(*pixels.shape[-2:])
    return (cell // w + 0.5) / h, (cell % w + 0.5) / w


def test_dense_map_peaks_on_the_object(encoder: VisionLanguageEncoder, photos: dict[str, torch.Tensor]) -> None:
    _, x = peak(encoder, photos["chelsea"], CAPTIONS["chelsea"])
    assert x < 0.88  # the blurred room is on the right
    y, x = peak(encoder, photos["coffee"], CAPTIONS["coffee"])
    assert 0.0 < y < 0.55  # the cup; saucer and table lie below
    assert 0.30 < x < 0.68


def test_dense_map_prefers_the_right_prompt(encoder: VisionLanguageEncoder, photos: dict[str, torch.Tensor]) -> None:
    patches = F.normalize(encoder.encode_patches(photos["chelsea"])[0], dim=1)
    texts = F.normalize(encoder.encode_text([CAPTIONS["chelsea"], *OTHER_CAPTIONS]), dim=1)
    cat, *others = (patches @ texts.T).mean(dim=0).tolist()
    assert cat > max(others)


def test_ridge_equals_augmented_least_squares() -> None:
    """Ridge is ordinary least squares with sqrt(penalty) I below the inputs and zeros below the targets."""
    rng = np.random.default_rng(0)
    for rows, columns in [(6, 9), (9, 6)]:
        x, y = rng.normal(size=(rows, columns)), rng.normal(size=(rows, 4))
        augmented = np.vstack([x, np.sqrt(2.5) * np.eye(columns)])
        expected = np.linalg.lstsq(augmented, np.vstack([y, np.zeros((columns, 4))]), rcond=None)[0]
        actual = ridge_regression(torch.from_numpy(x), torch.from_numpy(y), penalty=2.5)
        torch.testing.assert_close(actual, torch.from_numpy(expected).float())
    with pytest.raises(ValueError, match="penalty"):
        ridge_regression(torch.ones(1, 1), torch.ones(1, 1), penalty=0.0)


def test_joint_map_is_the_ridge_solution(encoder: VisionLanguageEncoder) -> None:
    """The normal equations hold, with text features that the public interface gives, already centred."""
    names = [line.split(", ")[0] for line in class_lemmas()]
    targets = encoder.encode_text(names).double()
    assert targets.mean(dim=0).abs().max() < 1e-6
    inputs = F.normalize(load_image_weights()["_fc.weight"], dim=1).double()
    projection = join_spaces().projection.double()
    residual = inputs.T @ (inputs @ projection - targets) + 2.0 * projection
    assert residual.abs().max() < 1e-4


def test_class_names() -> None:
    lemmas = class_lemmas()
    assert len(lemmas) == 1000
    assert (lemmas[0], lemmas[388], lemmas[963]) == (
        "tench, Tinca tinca",
        "giant panda, panda, panda bear, coon bear, Ailuropoda melanoleuca",
        "pizza, pizza pie",
    )


def test_folded_network_equals_the_package(photos: dict[str, torch.Tensor]) -> None:
    from efficientnet_lite_pytorch import EfficientNet

    original = EfficientNet.from_name("efficientnet-lite2", image_size=None).eval()
    original.load_state_dict(load_image_weights())
    pixels = photos["coffee"][:, :, :96, 100:228]
    with torch.no_grad():
        expected = original.extract_features(pixels)
        actual = build_image_network(32).extract_features(pixels)
        assert build_image_network(16).extract_features(pixels).shape == (1, 1280, 6, 8)
    torch.testing.assert_close(actual, expected, atol=1e-4, rtol=1e-4)


def test_sentences_equal_plain_mean_pooling(encoder: VisionLanguageEncoder) -> None:
    """One text at a time through the model's own id path: mean over all its tokens, length 1, centred."""
    joint = join_spaces()
    texts = ["cat", "a photo of a giant schnauzer with an umbrella"]
    for text, feature in zip(texts, encoder.encode_text(texts), strict=True):
        with torch.no_grad():
            hidden = joint.text_network(**joint.tokenizer(text, return_tensors="pt")).last_hidden_state[0]
        torch.testing.assert_close(feature, F.normalize(hidden.mean(dim=0), dim=0) - joint.text_mean)


def test_prompt_without_context_equals_the_word(encoder: VisionLanguageEncoder) -> None:
    words = encoder.embed_words(["real", "tampered photograph"])
    assert [len(word) for word in words] == [1, 4]
    torch.testing.assert_close(encoder.encode_prompts(words), encoder.encode_text(["real", "tampered photograph"]))


def test_gradients_reach_context_but_no_weight(encoder: VisionLanguageEncoder) -> None:
    context = torch.randn(4, encoder.token_dim, requires_grad=True)
    prompts = [torch.cat([context[:2], word, context[2:]]) for word in encoder.embed_words(["real", "fake"])]
    encoder.encode_prompts(prompts).square().sum().backward()
    assert context.grad is not None
    assert (context.grad.abs().amax(dim=1) > 0).all()
    assert all(weight.grad is None and not weight.requires_grad for weight in encoder.parameters())


def test_frozen_and_deterministic(encoder: VisionLanguageEncoder) -> None:
    torch.nn.Sequential(encoder).train()
    assert not any(module.training for module in encoder.modules())
    pixels = torch.rand(2, 3, 64, 96, generator=torch.Generator().manual_seed(3))
    features = encoder.encode_patches(pixels)
    assert torch.equal(features, encoder.encode_patches(pixels))
    assert features.shape == (2, 24, 384)
    assert not features.requires_grad
    torch.testing.assert_close(encoder.encode_patches(pixels[1:]), features[1:], atol=1e-4, rtol=1e-4)


def test_any_size(encoder: VisionLanguageEncoder) -> None:
    assert encoder.grid(256, 256) == (16, 16)
    assert encoder.grid(50, 71) == (3, 4)
    assert encoder.encode_patches(torch.rand(1, 3, 50, 71)).shape == (1, 12, 384)
    assert encoder.encode_patches(torch.rand(1, 3, 1, 1)).shape == (1, 1, 384)


def test_pooled_is_the_mean_of_dense(encoder: VisionLanguageEncoder) -> None:
    pixels = torch.rand(1, 3, 256, 256, generator=torch.Generator().manual_seed(4))
    torch.testing.assert_close(encoder.encode_image(pixels), encoder.encode_patches(pixels).mean(dim=1))


def test_blocks_equal_each_block_alone() -> None:
    encoder = load_encoder(EncoderConfig(tokens="blocks", grid_blocks=2, output_stride=32))
    pixels = torch.rand(1, 3, 64, 96, generator=torch.Generator().manual_seed(5))
    features = encoder.encode_patches(pixels)
    assert features.shape == (1, 4, 384)
    alone = encoder.encode_image(pixels[:, :, 32:, :48])
    torch.testing.assert_close(features[:, 2], alone, atol=1e-4, rtol=1e-4)


def test_fingerprint_is_stable_across_processes(encoder: VisionLanguageEncoder) -> None:
    code = "from vilaco.encoders import *; print(load_encoder(EncoderConfig()).fingerprint)"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == encoder.fingerprint
    assert run.stderr == ""
    assert load_encoder(EncoderConfig(output_stride=32)).fingerprint != encoder.fingerprint
