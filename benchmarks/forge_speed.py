"""Measures how many pictures a second ``vilaco data forge`` makes, files included.

    python benchmarks/forge_speed.py --photos bsds500/images --segments bsds500/segments

prints each run and writes benchmarks/results/forge_speed.json: sets of half authentic and half forged pictures, as by
default, and one of forgeries alone. Without ``--photos`` it makes 200 of its own (481x321, soft colors, edges and
grain); their shapes are then all random. Run it on an idle machine: the load at the start is part of the result.
"""

import argparse
import json
import os
import platform
import tempfile
import time
from pathlib import Path

import cv2
import numpy as np

from vilaco.data.forge import forge_dataset
from vilaco.files import find_images, write_atomically

RUNS = ((500, 0.5), (2000, 0.5), (2000, 1.0))  # pictures, share of forgeries
SIZE = (256, 384)
OUT = Path(__file__).parent / "results" / "forge_speed.json"


def make_photos(folder: Path) -> None:
    """Write 200 made-up photos."""
    rng = np.random.default_rng(0)
    for index in range(200):
        soft = cv2.resize(rng.random((6, 9, 3), np.float32) * 220 + 15, (481, 321), interpolation=cv2.INTER_CUBIC)
        for _ in range(12):
            x, y, radius = (int(value) for value in rng.integers((0, 0, 8), (481, 321, 60)))
            cv2.circle(soft, (x, y), radius, rng.uniform(0, 255, 3).tolist(), -1, cv2.LINE_AA)
        noisy = soft + rng.normal(0, rng.uniform(1, 6), soft.shape)
        photo = np.clip(noisy, 0, 255).astype(np.uint8)
        cv2.imwrite(str(folder / f"{index:03d}.jpg"), photo, [cv2.IMWRITE_JPEG_QUALITY, 95])


def measure(photos: Path, segments: Path | None, count: int, share: float, workers: int) -> dict[str, float]:
    """Forge one data set in this process and its workers; seconds of wall and of CPU, imports of workers included."""
    files = [image.path for image in find_images([photos])]
    with tempfile.TemporaryDirectory() as folder:
        began, used = time.perf_counter(), cpu_seconds()
        forge_dataset(
            files,
            Path(folder) / "set",
            count=count,
            seed=7,
            segments=[segments] if segments else [],
            tampered_share=share,
            size=SIZE,
            workers=workers,
        )
        seconds, cpu = time.perf_counter() - began, cpu_seconds() - used
    return {
        "count": count,
        "tampered_share": share,
        "seconds": round(seconds, 2),
        "pictures_per_second": round(count / seconds, 1),
        "cpu_ms_per_picture": round(1000 * cpu / count, 2),
    }


def cpu_seconds() -> float:
    """User and system time of this process and of its finished children."""
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photos", type=Path, help="folder of authentic photos (default: made up)")
    parser.add_argument("--segments", type=Path, help="BSDS500 segmentations of these photos")
    parser.add_argument("--workers", type=int, default=2, help="processes (default: %(default)s)")
    parser.add_argument("--out", type=Path, default=OUT, help="JSON to write (default: %(default)s)")
    arguments = parser.parse_args()
    load = os.getloadavg()[0]
    with tempfile.TemporaryDirectory() as made:
        if arguments.photos is None:
            make_photos(Path(made))
        photos = arguments.photos or Path(made)
        runs = []
        for count, share in RUNS:
            runs.append(measure(photos, arguments.segments, count, share, arguments.workers))
            print("{count} pictures: {pictures_per_second}/s, {cpu_ms_per_picture} ms CPU each".format(**runs[-1]))
    result = {
        "photos": "made up" if arguments.photos is None else arguments.photos.name,
        "segments": arguments.segments is not None,
        "size": SIZE,
        "workers": arguments.workers,
        "cores": os.cpu_count(),
        "load_average_at_start": round(load, 2),
        "machine": f"{platform.machine()}, Python {platform.python_version()}, OpenCV {cv2.__version__}",
        "runs": runs,
    }
    write_atomically(arguments.out, (json.dumps(result, indent=2) + "\n").encode())
    print(arguments.out)


if __name__ == "__main__":
    main()
