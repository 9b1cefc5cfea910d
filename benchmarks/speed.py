"""How long a photo takes, and how much memory, on ONNX Runtime.

    python benchmarks/speed.py MODEL [MODEL ...]

MODEL is a shipped model's name, or a folder that ``vilaco export`` wrote. For each, in processes of their own: a
384 x 256 JPEG, decoding included, with the model loaded; a 12-megapixel JPEG, likewise, and the peak memory of its
process; and ``vilaco detect`` of the small one from a standing start. ``VILACO_THREADS`` says how many cores (all by
default). Times are the median of the runs; ``load_average`` says what else was running. Writes
``benchmarks/results/speed.json``.
"""

import argparse
import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import onnxruntime

from vilaco.files import write_atomically
from vilaco.images import encode_jpeg
from vilaco.localizer import Localizer
from vilaco.runtimes.onnx import ExportedModel, OnnxRuntime, thread_count
from vilaco.weights import find_model

RESULT = Path(__file__).parent / "results" / "speed.json"
SMALL, LARGE = (256, 384), (3000, 4000)
SMALL_RUNS, LARGE_RUNS, COLD_RUNS = 30, 3, 7


def make_photo(file: Path, size: tuple[int, int]) -> None:
    rng = np.random.default_rng(0)
    height, width = size
    coarse = rng.integers(0, 256, (height // 8, width // 8, 3), dtype=np.uint8)
    pixels = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)
    file.write_bytes(encode_jpeg(cv2.add(pixels, rng.integers(0, 8, pixels.shape, dtype=np.uint8)), 90))


def measure(model: Path, photo: Path, runs: int) -> None:
    """In a process of its own: print seconds, CPU seconds and peak memory as JSON."""
    localizer = Localizer.load(model)
    localizer(photo)
    seconds, cpu_seconds = [], []
    for _ in range(runs):
        started, cpu_started = time.perf_counter(), time.process_time()
        localizer(photo)
        seconds.append(time.perf_counter() - started)
        cpu_seconds.append(time.process_time() - cpu_started)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({**summary(seconds), "cpu_seconds": round(min(cpu_seconds), 4), "peak_mib": round(peak)}))


def summary(seconds: list[float]) -> dict[str, float]:
    return {"seconds": round(statistics.median(seconds), 4), "fastest_seconds": round(min(seconds), 4)}


def in_a_process(model: Path, photo: Path, runs: int) -> dict[str, float]:
    command = [sys.executable, __file__, str(model), "--measure", str(photo), "--runs", str(runs)]
    row: dict[str, float] = json.loads(subprocess.run(command, capture_output=True, check=True).stdout)
    return row


def cold(model: Path, photo: Path) -> dict[str, float]:
    seconds = []
    for _ in range(COLD_RUNS):
        started = time.perf_counter()
        command = [sys.executable, "-m", "vilaco", "detect", str(photo), "--model", str(model)]
        subprocess.run(command, capture_output=True, check=True)
        seconds.append(time.perf_counter() - started)
    return summary(seconds)


def cpu_name() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.is_file() else []
    return next((line.split(": ")[1] for line in lines if line.startswith("model name")), platform.processor())


def rows(exported: ExportedModel, model: Path, small: Path, large: Path) -> dict[str, Any]:
    return {
        "precision": exported.precision,
        "weights_sha256": exported.weights_sha256,
        "encoder": exported.encoder_name,
        "bytes": sum(file.stat().st_size for file in model.glob("*.onnx")),
        "384 x 256": in_a_process(model, small, SMALL_RUNS),
        "12 megapixels": in_a_process(model, large, LARGE_RUNS),
        "vilaco detect, cold": cold(model, small),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description="Speed of exported models.")
    parser.add_argument("models", nargs="+")
    parser.add_argument("--measure", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--runs", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        return measure(Path(options.models[0]), options.measure, options.runs)
    found = [find_model(model).folder for model in options.models]
    with tempfile.TemporaryDirectory() as folder:
        small, large = Path(folder, "small.jpg"), Path(folder, "large.jpg")
        make_photo(small, SMALL)
        make_photo(large, LARGE)
        models = {model.name: rows(OnnxRuntime.load(model).exported, model, small, large) for model in found}
    result = {
        "command": "python benchmarks/speed.py " + " ".join(model.name for model in found),
        "cpu": cpu_name(),
        "threads": thread_count(),
        "load_average": round(os.getloadavg()[0], 2),
        "onnxruntime": onnxruntime.__version__,
        "python": platform.python_version(),
        "models": models,
    }
    write_atomically(RESULT, json.dumps(result, indent=1).encode() + b"\n")
    print(RESULT.read_text())
    return None


if __name__ == "__main__":
    main()
