"""How fast `vilaco scan` is beside the model alone, and whether it counts right when it is killed.

    python benchmarks/scan_throughput.py [--images 2000] [--ray-images 2000] [--kill-images 20000] [--kills 5]

Makes JPEGs of 384 x 256, then measures, with one thread a process throughout:

- the model alone, before the local engine and after it: as many processes as workers judge decoded photos at the same
  time;
- the local engine: from the first tenth of the rows to the last row, so without its start (given beside it);
- Ray on this machine, likewise, on ``--ray-images``, which come in batches of 32: too few say nothing;
- a scan of ``--kill-images`` of 96 x 64, masks and overlays kept, killed with SIGKILL ``--kills`` times at random
  moments and gone on with each time: how many images have no row, or more than one, and how many files are not whole.

Writes ``benchmarks/results/scan_throughput.json``.
"""

import argparse
import json
import os
import platform
import random
import resource
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from statistics import mean
from typing import Any

import cv2
import numpy as np
import onnxruntime
import pyarrow.parquet as pq

from vilaco.files import write_atomically
from vilaco.images import encode_jpeg, load_photo
from vilaco.localizer import Localizer
from vilaco.scan.engine import Engine
from vilaco.scan.run import scan
from vilaco.scan.worker import ONE_THREAD
from vilaco.weights import DEFAULT

RESULT = Path(__file__).parent / "results" / "scan_throughput.json"
SIZE, SMALL = (256, 384), (64, 96)
KEEP_ABOVE = 0.1  # nearly all of the small ones score higher


def make_photos(folder: Path, count: int, size: tuple[int, int] = SIZE) -> None:
    folder.mkdir()
    rng = np.random.default_rng(0)
    for index in range(count):
        coarse = rng.integers(0, 256, (size[0] // 8, size[1] // 8, 3), dtype=np.uint8)
        pixels = cv2.resize(coarse, size[::-1], interpolation=cv2.INTER_CUBIC)
        pixels = cv2.add(pixels, rng.integers(0, 8, pixels.shape, dtype=np.uint8))
        file = folder / f"{index // 1000:03d}" / f"{index:06d}.jpg"
        file.parent.mkdir(exist_ok=True)
        file.write_bytes(encode_jpeg(pixels, 90))


def judge_alone(folder: Path, images: int, model: str) -> None:
    """In a process of its own: say ready, wait for a line, print the seconds that decoded photos took."""
    cv2.setNumThreads(1)
    localizer = Localizer.load(model)
    photos = [load_photo(path) for path in sorted(folder.rglob("*.jpg"))[:images]]
    localizer.predict(photos[0])
    print("ready", flush=True)
    sys.stdin.readline()
    started = time.perf_counter()
    for photo in photos:
        localizer.predict(photo)
    print(time.perf_counter() - started)


def model_alone(folder: Path, images: int, workers: int, model: str) -> float:
    """Images a second of all workers together."""
    command = [sys.executable, __file__, "--alone", str(folder), "--images", str(images), "--model", model]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    processes = [subprocess.Popen(command, env={**os.environ, **ONE_THREAD}, **pipes) for _ in range(workers)]
    for process in processes:
        process.stdout.readline()
    for process in processes:
        process.stdin.write("go\n")
        process.stdin.flush()
    return sum(images / float(process.communicate()[0]) for process in processes)


def throughput(folder: Path, out: Path, engine: Engine, workers: int, model: str) -> dict[str, float]:
    """Of a whole scan."""
    started, times = time.perf_counter(), []

    def tell(done: int, images: int, row: object) -> None:
        if row is not None:
            times.append(time.perf_counter() - started)

    def cpu() -> float:
        usage = resource.getrusage(resource.RUSAGE_CHILDREN), resource.getrusage(resource.RUSAGE_SELF)
        return sum(each.ru_utime + each.ru_stime for each in usage)

    before = cpu()
    report = scan(folder, out, model=model, engine=engine, workers=workers, tell=tell)
    assert report.done == len(times)
    tenth = max(1, len(times) // 10)
    return {
        "images": len(times),
        "images_per_second": round((len(times) - tenth) / (times[-1] - times[tenth - 1]), 2),
        "seconds_to_first_row": round(times[0], 2),
        "seconds_in_all": round(time.perf_counter() - started, 2),
        "cpu_seconds": round(cpu() - before, 2),
    }


def killed(folder: Path, out: Path, kills: int, workers: int, model: str, seconds: float) -> dict[str, Any]:
    """Scan, killed at random moments of the ``seconds`` that it takes undisturbed."""
    command = [sys.executable, "-m", "vilaco", "scan", str(folder), "--out", str(out), "--model", model]
    command += ["--workers", str(workers), "--keep-above", str(KEEP_ABOVE)]
    dice, moments = random.Random(0), []
    for _ in range(kills):
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        moment = dice.uniform(0.1, 1.5) * seconds / max(1, kills)
        try:
            process.wait(moment)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
            process.wait()
            moments.append(round(moment, 2))
    final = subprocess.run(command, capture_output=True, text=True, check=False)
    rows: Counter[str] = Counter()
    for part in (out / "results").iterdir():
        rows.update(pq.read_table(part, columns=["path"])["path"].to_pylist())
    paths = {path.relative_to(folder).as_posix() for path in folder.rglob("*.jpg")}
    pictures = [path for name in ("masks", "overlays") for path in (out / name).rglob("*") if path.is_file()]
    return {
        "photo": f"{SMALL[1]} x {SMALL[0]} JPEG",
        "images": len(paths),
        "killed_after_seconds": moments,
        "last_exit_code": final.returncode,
        "without_a_row": len(paths - set(rows)),
        "with_more_than_one_row": sum(count > 1 for count in rows.values()),
        "rows_of_no_image": len(set(rows) - paths),
        "pictures": len(pictures),
        "pictures_not_whole": sum(cv2.imread(str(path)) is None for path in pictures),
        "temporary_files": len(list(out.rglob("*.tmp"))),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description="Throughput of a scan, and what kills leave.")
    parser.add_argument("--images", type=int, default=2_000)
    parser.add_argument("--ray-images", type=int, default=2_000)
    parser.add_argument("--kill-images", type=int, default=20_000)
    parser.add_argument("--kills", type=int, default=5)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--model", default=DEFAULT)
    parser.add_argument("--out", type=Path, default=RESULT)
    parser.add_argument("--alone", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.alone:
        return judge_alone(options.alone, options.images, options.model)
    with tempfile.TemporaryDirectory() as temporary:
        folder, part, small = (Path(temporary, name) for name in ("photos", "part", "small"))
        make_photos(folder, options.images)
        make_photos(part, options.ray_images)
        make_photos(small, options.kill_images, SMALL)
        few = min(options.images, 300)
        before = model_alone(folder, few, options.workers, options.model)
        local = throughput(folder, Path(temporary, "local"), "local", options.workers, options.model)
        after = model_alone(folder, few, options.workers, options.model)
        ray = throughput(part, Path(temporary, "ray"), "ray", options.workers, options.model)
        sample = Path(temporary, "sample")
        make_photos(sample, options.kill_images // 20, SMALL)
        rate = throughput(sample, Path(temporary, "sampled"), "local", options.workers, options.model)
        seconds = options.kill_images / rate["images_per_second"]
        kills = killed(small, Path(temporary, "killed"), options.kills, options.workers, options.model, seconds)
    result = {
        "command": f"python benchmarks/scan_throughput.py --images {options.images} "
        f"--ray-images {options.ray_images} --kill-images {options.kill_images} --kills {options.kills} "
        f"--workers {options.workers} --model {options.model}",
        "photo": f"{SIZE[1]} x {SIZE[0]} JPEG",
        "workers": options.workers,
        "model_fingerprint": Localizer.load(options.model).fingerprint,
        "model_alone_images_per_second": [round(before, 2), round(after, 2)],
        "local": local,
        "local_share_of_model_alone": round(local["images_per_second"] / mean((before, after)), 3),
        "ray": ray,
        "ray_share_of_local": round(ray["images_per_second"] / local["images_per_second"], 3),
        "images_per_second_and_core": round(local["images_per_second"] / options.workers, 2),
        "killed": kills,
        "cpus": os.cpu_count(),
        "load_average": round(os.getloadavg()[0], 2),
        "onnxruntime": onnxruntime.__version__,
        "python": platform.python_version(),
    }
    write_atomically(options.out, json.dumps(result, indent=1).encode() + b"\n")
    print(options.out.read_text())
    return None


if __name__ == "__main__":
    main()
