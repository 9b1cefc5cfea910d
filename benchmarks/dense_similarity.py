"""Draws how similar each patch of a photo is to a prompt, with the embedded encoder and nothing trained.

    python benchmarks/dense_similarity.py

writes docs/images/dense_similarity.png. The photos come with scikit-image (chelsea by Stefan van der Walt,
CC0; coffee by Rachel Michetti, CC0; astronaut by NASA, public domain).
"""

import argparse
import io
from pathlib import Path

import matplotlib
import numpy as np
import torch
from PIL import Image
from skimage import data
from torch.nn import functional as F

from vilaco.encoders import EncoderConfig, load_encoder
from vilaco.encoders.base import VisionLanguageEncoder, resize
from vilaco.files import write_atomically

PHOTOS = {"chelsea": data.chelsea, "coffee": data.coffee, "astronaut": data.astronaut}
PROMPTS = ["a photo of a cat", "a photo of a cup of coffee", "a photo of a space suit"]
OUT = Path(__file__).resolve().parents[1] / "docs" / "images" / "dense_similarity.png"
HEIGHT = 320
CAPTION = (
    "Embedded encoder, no training. Cats and cups are among the 1000 classes that join its two halves:\n"
    "both are found, roughly. A space suit is not: its map is weak, and the coffee prompt peaks higher there."
)


def similarity_maps(encoder: VisionLanguageEncoder, photo: np.ndarray, prompts: list[str]) -> np.ndarray:
    """Cosine similarity of every patch with every prompt, shape (T, h, w), in [-1, 1]."""
    pixels = torch.from_numpy(photo).permute(2, 0, 1)[None].float() / 255
    width = 32 * round(photo.shape[1] / photo.shape[0] * HEIGHT / 32)
    pixels = resize(pixels, (HEIGHT, width), mode="bilinear")
    patches = F.normalize(encoder.encode_patches(pixels)[0], dim=-1)
    texts = F.normalize(encoder.encode_text(prompts), dim=-1)
    return (texts @ patches.T).unflatten(1, encoder.grid(HEIGHT, width)).numpy()


def draw(encoder: VisionLanguageEncoder) -> bytes:
    """The figure as PNG bytes: a row a photo, a column a prompt, one color scale for all."""
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(len(PHOTOS), 1 + len(PROMPTS), figsize=(9.6, 6.4), layout="constrained")
    for row, (name, load) in zip(axes, PHOTOS.items(), strict=True):
        photo = load()
        row[0].imshow(photo)
        row[0].set_ylabel(name)
        extent = (0, photo.shape[1], photo.shape[0], 0)
        for axis, similarity in zip(row[1:], similarity_maps(encoder, photo, PROMPTS), strict=True):
            axis.imshow(photo.mean(axis=2), cmap="gray")
            drawn = axis.imshow(similarity, cmap="inferno", vmin=0.0, vmax=0.5, alpha=0.7, extent=extent)
    for axis, prompt in zip(axes[0, 1:], PROMPTS, strict=True):
        axis.set_title(prompt, fontsize=9)
    for axis in axes.flat:
        axis.set(xticks=[], yticks=[])
    figure.colorbar(drawn, ax=axes, shrink=0.6, label="cosine similarity")
    figure.supxlabel(CAPTION, fontsize=9)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=80)
    plt.close(figure)
    small = io.BytesIO()
    Image.open(buffer).convert("RGB").quantize(256).save(small, "PNG", optimize=True)
    return small.getvalue()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=OUT, help="PNG to write (default: %(default)s)")
    arguments = parser.parse_args()
    matplotlib.use("Agg")
    write_atomically(arguments.out, draw(load_encoder(EncoderConfig())))
    print(arguments.out)


if __name__ == "__main__":
    main()
