"""Zero-shot: the frozen vision-language encoder alone, asked in words which patches look edited.

Source: prompt ensembles as in A. Radford et al., "Learning transferable visual models from natural language
supervision" (CLIP), ICML 2021, on dense patch features as in C. Zhou, C. C. Loy and B. Dai, "Extract free
dense labels from CLIP" (MaskCLIP), ECCV 2022. What our method adds to it is everything that learns.

A figure of this baseline is the encoder's: its name carries the encoder's name.
"""

from collections.abc import Sequence

import numpy as np
import torch
from torch.nn import functional as F

from vilaco.encoders import EncoderConfig, load_encoder
from vilaco.encoders.base import VisionLanguageEncoder
from vilaco.evaluation.baselines.map_baseline import top_share_mean
from vilaco.evaluation.prediction import Prediction
from vilaco.images import Photo, resize_map, resize_pixels

REAL_PROMPTS = ("a real photo", "an authentic photograph", "an unedited picture from a camera")
FAKE_PROMPTS = ("a fake photo", "a manipulated photograph", "a picture with something pasted into it")

LOGIT_SCALE = 100.0
"""CLIP's learned inverse temperature ends at its cap of 100 (Radford et al., Sec. 2.5)."""

MAX_SIDE = 512
"""A longer photo is shrunk to this many pixels, so that memory stays bounded."""


class ZeroShot:
    """Softmax over two prompt ensembles at every patch.

    Args:
        encoder: Frozen; its patch and text features share one space.
        real: Texts whose mean feature stands for authentic.
        fake: Texts whose mean feature stands for tampered.
    """

    def __init__(
        self,
        encoder: VisionLanguageEncoder,
        *,
        real: Sequence[str] = REAL_PROMPTS,
        fake: Sequence[str] = FAKE_PROMPTS,
    ) -> None:
        self.name = f"zero_shot ({encoder.name})"
        self._encoder = encoder
        features = [F.normalize(encoder.encode_text(texts), dim=1).mean(dim=0) for texts in (real, fake)]
        self._classes = F.normalize(torch.stack(features), dim=1)  # (2, d): real, fake

    @torch.no_grad()
    def __call__(self, photo: Photo) -> Prediction:
        """Judge one photo as a person sees it; the score is the mean of the map's largest sixteenth."""
        upright = photo.upright(photo.pixels)
        height, width = upright.shape[:2]
        scale = min(1.0, MAX_SIDE / max(height, width))
        small = resize_pixels(upright, (max(1, round(height * scale)), max(1, round(width * scale))))
        pixels = torch.from_numpy(small.copy()).permute(2, 0, 1)[None].float() / 255.0
        patches = F.normalize(self._encoder.encode_patches(pixels)[0], dim=1)  # (h * w, d)
        probs = (LOGIT_SCALE * patches @ self._classes.T).softmax(dim=1)[:, 1]
        grid = probs.reshape(self._encoder.grid(*small.shape[:2])).numpy().astype(np.float32)
        localization_map = np.clip(resize_map(grid, (height, width)), 0.0, 1.0)
        return Prediction(localization_map, top_share_mean(localization_map))


def zero_shot() -> ZeroShot:
    """The baseline with the embedded encoder, which works offline."""
    return ZeroShot(load_encoder(EncoderConfig()))
