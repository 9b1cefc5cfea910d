"""What `vilaco compare` marks of forgeries beside their originals, and what it marks of authentic twins.

    python benchmarks/compare_original.py PHOTOS [--pictures 500]

PHOTOS has a file ``photos.csv`` with a column ``path``. Each picture is a forgery of `vilaco.data.forge`
on a photo of at most 1024 pixels a side; the original is that photo before the forgery. The suspect is the forgery

- ``stored``: as it is, PNG;
- ``jpeg 80``: saved at JPEG 80;
- ``0.75x, jpeg 80``: made smaller first;
- ``history``: after a random history of edits, crops, sizes and saves.

A twin is the authentic photo after the same. P-F1 is the mean over pictures of the F1 of mask pixels; a twin is marked
if any region of it is. Writes ``benchmarks/results/compare_original.json``.
"""

import argparse
import csv
import json
import os
import platform
import tempfile
from collections import defaultdict
from pathlib import Path

import cv2
import numpy as np

from vilaco.compare import compare
from vilaco.data.forge.config import ForgeConfig
from vilaco.data.forge.engine import draw_scene, forge
from vilaco.data.forge.history import encode_png
from vilaco.data.forge.photos import PhotoPool
from vilaco.files import write_atomically
from vilaco.images import encode_jpeg, resize_map, resize_pixels

RESULT = Path(__file__).parent / "results" / "compare_original.json"


def f1(mask: np.ndarray, truth: np.ndarray) -> float:
    both = np.count_nonzero(mask & truth)
    return 2 * both / max(1, np.count_nonzero(mask) + np.count_nonzero(truth))


def smaller(pixels: np.ndarray) -> np.ndarray:
    return resize_pixels(pixels, tuple(round(0.75 * side) for side in pixels.shape[:2]))


def main() -> None:
    parser = argparse.ArgumentParser(description="What vilaco compare marks.")
    parser.add_argument("photos", type=Path)
    parser.add_argument("--pictures", type=int, default=500)
    parser.add_argument("--note", default="", help="What to say of the machine.")
    options = parser.parse_args()
    with open(options.photos / "photos.csv", newline="") as stream:
        paths = [options.photos / row["path"] for row in csv.DictReader(stream)]
    chosen = np.random.default_rng(0).permutation(len(paths))[: 2 * options.pictures]
    pool, config = PhotoPool([paths[number] for number in sorted(chosen)]), ForgeConfig()
    scores: dict[str, list[float]] = defaultdict(list)
    kinds: dict[str, list[float]] = defaultdict(list)
    marked: dict[str, list[bool]] = defaultdict(list)
    related: dict[str, list[bool]] = defaultdict(list)
    seconds: list[float] = []
    hosts = [number for number in range(len(pool.paths)) if pool.pixels(number) is not None]
    with tempfile.TemporaryDirectory() as temporary:
        for number in range(options.pictures):
            rng = np.random.default_rng([1, number])
            scene = draw_scene(pool, hosts[number % len(hosts)], rng, config)
            forgery = forge(pool, scene.view, scene.history, rng, config)
            original = Path(temporary, "original.png")
            original.write_bytes(encode_png(scene.view.pixels))
            for label, pixels in ((1, forgery.pixels), (0, scene.view.pixels)):
                mask = forgery.mask
                published, suffix = scene.history.publish(pixels)
                suspects = {
                    "stored": (encode_png(pixels), ".png", mask),
                    "jpeg 80": (encode_jpeg(pixels, 80), ".jpg", mask),
                    "0.75x, jpeg 80": (
                        encode_jpeg(smaller(pixels), 80),
                        ".jpg",
                        resize_map(mask, smaller(pixels).shape[:2]) > 0.5,
                    ),
                    "history": (published, suffix, scene.history.publish_mask(mask)),
                }
                for name, (data, ending, truth) in suspects.items():
                    file = Path(temporary, f"suspect{ending}")
                    file.write_bytes(data)
                    found = compare(file, original)
                    seconds.append(found.row.seconds)
                    related[name].append(found.row.related)
                    if label:
                        scores[name].append(f1(found.mask, truth))
                        kinds[f"{name}: {forgery.operation.split()[0]}"].append(scores[name][-1])
                    else:
                        marked[name].append(bool(found.row.regions))
    result = {
        "command": f"python benchmarks/compare_original.py PHOTOS --pictures {options.pictures}",
        "pictures": options.pictures,
        "pixel_f1_per_image_mean": {name: round(float(np.mean(values)), 4) for name, values in scores.items()},
        "pixel_f1_by_operation": {
            name: {"pictures": len(values), "mean": round(float(np.mean(values)), 4)}
            for name, values in sorted(kinds.items())
        },
        "twins_marked": {name: f"{sum(values)} of {len(values)}" for name, values in marked.items()},
        "told_to_be_related": {name: f"{sum(values)} of {len(values)}" for name, values in related.items()},
        "median_seconds": round(float(np.median(seconds)), 3),
        "cpus": os.cpu_count(),
        "load_average": round(os.getloadavg()[1], 2),
        "opencv": cv2.__version__,
        "python": platform.python_version(),
    }
    result |= {"note": options.note} if options.note else {}
    write_atomically(RESULT, json.dumps(result, indent=1).encode() + b"\n")
    print(RESULT.read_text())


if __name__ == "__main__":
    main()
