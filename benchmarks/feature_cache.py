"""How much faster an epoch is from the cache of frozen features than with the encoder in the loop.

    python benchmarks/feature_cache.py

Trains on 32 generated 384 x 256 JPEGs, batch 32, recipe `paper`, one thread, in the precision that training chooses on
this machine, without and with the cache in turn, and writes the fastest of three epochs of each, in processor seconds
so that neighbours do not count, to ``benchmarks/results/feature_cache.json``. `clip` has the architecture of CLIP
ViT-B/16 with random weights, which take as long as trained ones; the time to fill the cache is given apart.
"""

import json
import tempfile
import time
from pathlib import Path

import cv2
import numpy as np
import torch
from torch.utils.data import DataLoader
from transformers import CLIPConfig, CLIPModel, CLIPTokenizer

from vilaco.data.loading import AugmentationConfig, WeakImages, balanced_batches, weaken
from vilaco.data.records import Record
from vilaco.files import write_atomically
from vilaco.images import encode_jpeg
from vilaco.training.feature_cache import CachedFeatures
from vilaco.training.module import ViLaCoModule
from vilaco.training.recipe import load_recipe
from vilaco.training.run import trainer_precision

RESULT = Path(__file__).parent / "results" / "feature_cache.json"
IMAGES, VIEWS, EPOCHS = 32, 1, 3
PRECISION = trainer_precision("auto")


def make_images(folder: Path) -> list[Record]:
    rng = np.random.default_rng(0)
    records = []
    for index in range(IMAGES):
        pixels = cv2.resize(
            rng.integers(0, 256, (32, 48, 3), dtype=np.uint8), (384, 256), interpolation=cv2.INTER_CUBIC
        )
        path = folder / f"{index:02d}.jpg"
        path.write_bytes(encode_jpeg(pixels, 90))
        records.append(Record(path, index % 2))
    return records


def save_random_clip(folder: Path) -> None:
    letters = "abcdefghijklmnopqrstuvwxyz"
    tokens = [*letters, *(f"{letter}</w>" for letter in letters), "<|startoftext|>", "<|endoftext|>"]
    CLIPTokenizer(vocab={token: i for i, token in enumerate(tokens)}, merges=[]).save_pretrained(folder)
    text = {"vocab_size": 54, "bos_token_id": 52, "eos_token_id": 53, "pad_token_id": 53}
    CLIPModel(CLIPConfig(text_config=text, vision_config={"patch_size": 16})).save_pretrained(folder)


def epoch_seconds(module: ViLaCoModule, dataset: WeakImages | CachedFeatures) -> float:
    labels = [index % 2 for index in range(IMAGES)]
    batches = balanced_batches(labels, batch_size=32, num_views=VIEWS, seed=0, epoch=0)
    optimiser = module.configure_optimizers()
    started = time.process_time()
    for batch in DataLoader(dataset, batch_sampler=batches):
        with torch.autocast("cpu", torch.bfloat16, enabled=PRECISION == "bf16-mixed"):
            output = module.run_network(batch)
        module.objective(output, batch["label"], epoch=50, num_epochs=100).total.backward()
        optimiser.step()
        optimiser.zero_grad()
    return time.process_time() - started


def measure(settings: list[str], records: list[Record], cache: Path) -> dict[str, float | str]:
    recipe = load_recipe("paper", overrides=settings)
    module = ViLaCoModule(recipe).train()
    usable, _ = weaken(records)
    images = WeakImages(usable, size=recipe.model.image_size, config=AugmentationConfig(), seed=0)
    cached = CachedFeatures(images, module.model.encoder, cache)
    started = time.process_time()
    cached.fill(VIEWS)
    fill = time.process_time() - started
    epochs = [(epoch_seconds(module, cached), epoch_seconds(module, images)) for _ in range(EPOCHS)]
    with_cache, without_cache = map(min, zip(*epochs, strict=True))
    return {
        "settings": " ".join(settings),
        "epoch_seconds_without_cache": round(without_cache, 2),
        "epoch_seconds_from_cache": round(with_cache, 2),
        "times_faster": round(without_cache / with_cache, 2),
        "fill_seconds_per_view": round(fill / (IMAGES * VIEWS), 4),
    }


def main() -> None:
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        records = make_images(folder)
        save_random_clip(folder / "clip")
        clip = ["model.encoder.family=clip", f"model.encoder.checkpoint={folder / 'clip'}"]
        blocks = [*clip, "model.encoder.tokens=blocks", "model.encoder.grid_blocks=2"]
        rows = {
            "clip ViT-B/16, 2 x 2 blocks": measure(blocks, records, folder),
            "clip ViT-B/16, dense tokens": measure(clip, records, folder),
            "embedded, 16 x 16 grid": measure([], records, folder),
            "embedded, 8 x 8 grid": measure(["model.encoder.output_stride=32"], records, folder),
        }
    for row in rows.values():
        row["settings"] = str(row["settings"]).replace(name, "…")
    setup = {"images": IMAGES, "batch": 32, "threads": 1, "precision": PRECISION, "torch": torch.__version__}
    result = {**setup, "clock": "processor time", "epochs": EPOCHS, "rows": rows}
    write_atomically(RESULT, json.dumps(result, indent=1, ensure_ascii=False).encode() + b"\n")
    print(RESULT.read_text())


if __name__ == "__main__":
    main()
