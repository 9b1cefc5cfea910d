"""How long the `full` profile takes on 1,000 maps of 1024 x 768, files and bootstrap included.

    python benchmarks/metrics_speed.py

One process, one thread. Writes ``benchmarks/results/metrics_speed.json``.
"""

import json
import resource
import tempfile
import time
from pathlib import Path

import cv2
import numpy as np

from vilaco.data.records import Record
from vilaco.evaluation.evaluate import evaluate
from vilaco.evaluation.prediction import Prediction
from vilaco.files import write_atomically
from vilaco.images import Photo, encode_jpeg

RESULT = Path(__file__).parent / "results" / "metrics_speed.json"
IMAGES, SIZE = 1000, (768, 1024)


class SmoothNoise:
    """Another smooth random map for every photo, so that every level occurs."""

    name = "smooth noise"

    def __init__(self) -> None:
        self.rng = np.random.default_rng(0)

    def __call__(self, photo: Photo) -> Prediction:
        height, width = photo.upright_size
        coarse = self.rng.random((24, 32), dtype=np.float32)
        map_ = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_LINEAR)
        return Prediction(map_, float(coarse.max()))


def main() -> None:
    cv2.setNumThreads(1)
    rng = np.random.default_rng(1)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        pixels = cv2.resize(rng.integers(0, 256, (48, 64, 3), dtype=np.uint8), SIZE[::-1])
        (folder / "photo.jpg").write_bytes(encode_jpeg(pixels, 85))
        records = []
        for index in range(IMAGES):
            photo, mask = folder / f"{index:04d}.jpg", folder / f"{index:04d}.png"
            photo.symlink_to(folder / "photo.jpg")
            drawn = cv2.ellipse(
                np.zeros(SIZE, np.uint8), tuple(map(int, rng.integers(200, 600, 2))), (150, 90), 0, 0, 360, 255, -1
            )
            cv2.imwrite(str(mask), drawn)
            records.append(Record(photo, index % 2, mask if index % 2 else None))
        started = time.perf_counter()
        evaluate(SmoothNoise(), records, ("full",))
        seconds = time.perf_counter() - started
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    result = {
        "images": IMAGES,
        "tampered": IMAGES // 2,
        "size": SIZE,
        "profile": "full",
        "bootstrap_resamples": 1000,
        "seconds": round(seconds, 1),
        "peak_memory_mib": round(peak),
    }
    write_atomically(RESULT, json.dumps(result, indent=1).encode() + b"\n")
    print(RESULT.read_text())


if __name__ == "__main__":
    main()
