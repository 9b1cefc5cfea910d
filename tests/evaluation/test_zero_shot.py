from collections.abc import Sequence

import numpy as np
import pytest
import torch
from torch import Tensor

from vilaco.encoders.base import VisionLanguageEncoder
from vilaco.encoders.config import EncoderConfig
from vilaco.evaluation.baselines.zero_shot import LOGIT_SCALE, ZeroShot
from vilaco.images import Photo


class ColourEncoder(VisionLanguageEncoder):
    """A joint space of three axes: a patch is its mean colour, a text the colour it names."""

    name, embed_dim, token_dim, max_prompt_tokens, cell_size, native_size = "colour", 3, 3, 8, 8, 8
    words = ("red", "green", "blue")

    def __init__(self) -> None:
        super().__init__(EncoderConfig())
        self.freeze()

    def _dense_features(self, pixels: Tensor) -> Tensor:
        return torch.nn.functional.avg_pool2d(pixels, self.cell_size).flatten(2).transpose(1, 2)

    def _pooled_features(self, pixels: Tensor) -> Tensor:
        return pixels.mean(dim=(2, 3))

    def _token_embeddings(self, texts: Sequence[str], *, special: bool) -> list[Tensor]:
        if special:
            return [torch.zeros(2, 3) for _ in texts]
        return [torch.eye(3)[[self.words.index(word) for word in text.split()]] for text in texts]

    def _text_features(self, embeddings: Tensor, lengths: Tensor) -> Tensor:
        return embeddings.sum(dim=1)


def test_patches_take_the_class_of_the_nearer_prompts() -> None:
    method = ZeroShot(ColourEncoder(), real=["green", "blue"], fake=["red"])
    pixels = np.zeros((32, 48, 3), np.uint8)
    pixels[..., 1] = 200
    pixels[8:16, 16:32] = [200, 0, 0]
    prediction = method(Photo(pixels, 1, "colours"))
    assert prediction.localization_map[12, 24] > 0.9
    assert prediction.localization_map[28, 4] < 0.05
    assert 0 <= prediction.detection_score <= 1
    assert method.name == "zero_shot (colour)"


def test_one_patch_by_hand() -> None:
    method = ZeroShot(ColourEncoder(), real=["green"], fake=["red"])
    pixels = np.full((8, 8, 3), [102, 101, 0], np.uint8)
    expected = 1 / (1 + np.exp(-LOGIT_SCALE * (102 - 101) / np.hypot(102, 101)))
    assert method(Photo(pixels, 1, "one patch")).detection_score == pytest.approx(expected, abs=1e-5)


def test_the_photo_is_seen_upright_at_any_size() -> None:
    method = ZeroShot(ColourEncoder(), real=["green"], fake=["red"])
    pixels = np.zeros((24, 700, 3), np.uint8)
    pixels[..., 1] = 255
    pixels[:, :64] = [255, 0, 0]
    found = method(Photo(pixels, 6, "turned")).localization_map
    assert found.shape == (700, 24)
    assert found[20].mean() > 0.9
    assert found[-20].mean() < 0.1
