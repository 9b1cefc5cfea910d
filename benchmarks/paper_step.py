"""What one training step of recipe `paper` takes with CLIP ViT-B/16, and what the paper's run would take by that.

    python benchmarks/paper_step.py [--out FILE]

Trains on 32 generated 384 x 256 JPEGs, a batch of 32 a step, with the encoder in the loop and from the cache of its
features, each in a process of its own, and writes ``benchmarks/results/paper_step.json``: the fastest of the steps
after the first, its floating-point operations as torch counts them, and how much the process grew until then. The
encoder has the paper's architecture with random weights, which take as long as trained ones. On a CPU one thread works
and processor time is counted, so that neighbours do not count; where there is a GPU, it is timed instead.

``hours`` are extrapolated: seconds a step times the steps of 100 epochs of CASIA v2, whose larger class fills half of
every batch; ``gpu_hours`` divide the operations of the same steps by a speed that is assumed, not measured.
"""

import argparse
import json
import multiprocessing
import resource
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.utils.data import DataLoader
from torch.utils.flop_counter import FlopCounterMode

from feature_cache import make_images, save_random_clip
from vilaco.data.loading import WeakImages, balanced_batches, weaken
from vilaco.files import write_atomically
from vilaco.training.feature_cache import CachedFeatures
from vilaco.training.module import ViLaCoModule
from vilaco.training.recipe import load_recipe
from vilaco.training.run import trainer_precision

RESULT = Path(__file__).parent / "results" / "paper_step.json"
STEPS = 3  # timed, after a first one that is not
AUTHENTIC, TAMPERED = 7491, 5123  # of CASIA v2
GPU_OPERATIONS_PER_SECOND = 2e13
"""Assumed: about an eighth of the 165 TFLOP/s that an RTX 4090, the paper's GPU, is sold with for dense bfloat16."""
DEVICE = "cuda" if torch.cuda.is_available() else "cpu"


def steps_of_training() -> int:
    """Of all epochs on the share of CASIA v2 that is trained on."""
    settings = load_recipe("paper").training
    labels = [0] * round(AUTHENTIC * (1 - settings.validation_share))
    labels += [1] * round(TAMPERED * (1 - settings.validation_share))
    epoch = balanced_batches(labels, batch_size=settings.batch_size, num_views=1, seed=0, epoch=0)
    return len(epoch) * settings.epochs


def seconds() -> float:
    if DEVICE == "cpu":
        return time.process_time()
    torch.cuda.synchronize()
    return time.perf_counter()


def peak_bytes() -> int:
    """The most memory taken so far, on the GPU where there is one."""
    if DEVICE == "cpu":
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return torch.cuda.max_memory_allocated()


def measure(folder: Path, *, from_cache: bool) -> dict[str, Any]:
    torch.set_num_threads(1)
    before = peak_bytes()
    clip = ["model.encoder.family=clip", f"model.encoder.checkpoint={folder / 'clip'}"]
    recipe = load_recipe("paper", overrides=clip)
    module = ViLaCoModule(recipe).to(DEVICE).train()
    usable, _ = weaken(make_images(folder))
    images = WeakImages(usable, size=recipe.model.image_size, config=recipe.augmentation, seed=0)
    facts: dict[str, Any] = {}
    dataset: WeakImages | CachedFeatures = images
    if from_cache:
        dataset = cached = CachedFeatures(images, module.model.encoder, folder)
        started = seconds()
        cached.fill(1)
        facts["fill_seconds_per_view"] = round((seconds() - started) / len(images), 4)
        facts["cache_bytes_per_view"] = cached.file(0, 0).stat().st_size
    labels = [record.label for record in usable]
    batches = balanced_batches(labels, batch_size=recipe.training.batch_size, num_views=1, seed=0, epoch=0)
    started = seconds()
    batch = next(iter(DataLoader(dataset, batch_sampler=batches)))
    facts["loading_seconds"] = round(seconds() - started, 3)
    batch = {name: tensor.to(DEVICE) for name, tensor in batch.items()}

    optimiser = module.configure_optimizers()
    precision = trainer_precision(recipe.training.precision)

    def step() -> float:
        started = seconds()
        with torch.autocast(DEVICE, torch.bfloat16, enabled=precision == "bf16-mixed"):
            output = module.run_network(batch)
        module.objective(output, batch["label"], epoch=50, num_epochs=100).total.backward()
        optimiser.step()
        optimiser.zero_grad()
        return seconds() - started

    with FlopCounterMode(display=False) as counter:
        step()
    facts["operations"] = counter.get_total_flops()
    facts["step_seconds"] = round(min(step() for _ in range(STEPS)), 3)
    facts["grown_by_bytes"] = peak_bytes() - before
    if not from_cache:
        facts["trainable_parameters"] = sum(p.numel() for p in module.parameters() if p.requires_grad)
        facts["frozen_parameters"] = sum(p.numel() for p in module.parameters() if not p.requires_grad)
    return facts


def extrapolate(facts: dict[str, Any], steps: int) -> dict[str, float]:
    whole = facts["step_seconds"] + facts["loading_seconds"]
    return {
        "hours": round(steps * whole / 3600, 1),
        "gpu_hours": round(steps * facts["operations"] / GPU_OPERATIONS_PER_SECOND / 3600, 2),
        "loading_hours": round(steps * facts["loading_seconds"] / 3600, 2),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure one training step of recipe paper with CLIP ViT-B/16.")
    parser.add_argument("--out", type=Path, default=RESULT, help="where to write (default: %(default)s)")
    out = parser.parse_args().out
    steps = steps_of_training()
    rows = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        save_random_clip(folder / "clip")
        with multiprocessing.get_context("spawn").Pool(1, maxtasksperchild=1) as pool:  # so that each peak is its own
            for row, from_cache in (("encoder in the loop", False), ("from the cache", True)):
                facts = pool.apply(measure, (folder,), {"from_cache": from_cache})
                rows[row] = {**facts, **extrapolate(facts, steps)}
    cached, settings = rows["from the cache"], load_recipe("paper").training
    views = (AUTHENTIC + TAMPERED) * np.array([1 - settings.validation_share, settings.validation_share])
    count = round(float(views @ np.array([settings.cache_views, 1])))
    result = {
        "encoder": "clip ViT-B/16, random weights",
        "image_size": load_recipe("paper").model.image_size,
        "batch": settings.batch_size,
        "device": torch.cuda.get_device_name() if DEVICE == "cuda" else "cpu, 1 thread",
        "clock": "processor time" if DEVICE == "cpu" else "wall time",
        "precision": trainer_precision(settings.precision),
        "torch": torch.__version__,
        "casia2_steps": steps,
        "casia2_views": count,
        "casia2_cache_gigabytes": round(count * cached["cache_bytes_per_view"] / 1e9, 1),
        "casia2_fill_hours": round(count * cached["fill_seconds_per_view"] / 3600, 1),
        "assumed_gpu_operations_per_second": GPU_OPERATIONS_PER_SECOND,
        "rows": rows,
    }
    write_atomically(out, json.dumps(result, indent=1).encode() + b"\n")
    print(out.read_text())


if __name__ == "__main__":
    main()
