"""The service under load: clients that never stop, photos of mixed sizes.

    python benchmarks/serve_load.py [--minutes 5] [--clients 8] [--model M]

Starts ``vilaco serve`` as a process of its own with its default settings, and sends photos that it makes itself, JPEG
and PNG, 96 x 72 to ``--largest`` pixels wide, one a request, each client its next one as soon as it has an answer and
has deleted the job. The first quarter is warm-up, not counted but for its answers. Memory is that of the service and of
all its children, read each second; its growth compares the mean of the last quarter with that of the second. Writes
``benchmarks/results/serve_load.json``; exits with 1 if an answer was a 5xx or none.
"""

import argparse
import json
import os
import re
import subprocess
import sys
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any

import cv2
import httpx2
import numpy as np

from vilaco.files import write_atomically
from vilaco.weights import DEFAULT

RESULT = Path(__file__).parent / "results" / "serve_load.json"
SIZES = ((72, 96), (256, 384), (427, 640), (768, 1024), (1200, 1600))


def make_photos(largest: int) -> list[bytes]:
    rng = np.random.default_rng(0)
    photos = []
    for height, width in (size for size in SIZES if size[1] <= largest):
        coarse = rng.integers(0, 256, (height // 8, width // 8, 3), dtype=np.uint8)
        pixels = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)
        pixels = cv2.add(pixels, rng.integers(0, 8, pixels.shape, dtype=np.uint8))
        photos += [cv2.imencode(ending, pixels)[1].tobytes() for ending in (".jpg", ".png")]
    return photos


def resident_mib(process: int) -> float:
    """Resident memory of a process and all its descendants, in MiB (Linux)."""
    total, waiting = 0.0, [process]
    while waiting:
        each = waiting.pop()
        try:
            status = Path(f"/proc/{each}/status").read_text()
            children = [
                Path(f"/proc/{each}/task/{task}/children").read_text() for task in os.listdir(f"/proc/{each}/task")
            ]
        except OSError:  # it ended meanwhile
            continue
        found = re.search(r"VmRSS:\s+(\d+) kB", status)
        total += int(found[1]) / 1024 if found else 0
        waiting += [int(child) for line in children for child in line.split()]
    return total


def ask(base: str, photos: list[bytes], first: int, until: float, answers: list[tuple[float, float, int]]) -> None:
    """One client; appends (when, seconds, status), 0 for no answer at all."""
    with httpx2.Client(base_url=base, timeout=300) as client:
        turn = first
        while time.monotonic() < until:
            started = time.monotonic()
            try:
                answer = client.post("/v1/detect", files=[("photos", ("photo", photos[turn % len(photos)]))])
                status = answer.status_code
                if status == 200:
                    client.delete(f"/v1/jobs/{answer.json()['id']}")
            except httpx2.HTTPError:
                status = 0
            answers.append((started, time.monotonic() - started, status))
            turn += 1


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--minutes", type=float, default=5)
    parser.add_argument("--clients", type=int, default=8)
    parser.add_argument("--largest", type=int, default=1600)
    parser.add_argument("--model", default=DEFAULT)
    parser.add_argument("--out", type=Path, default=RESULT)
    given = parser.parse_args()
    command = [sys.executable, "-m", "vilaco", "serve", "--port", "0", "--model", given.model]
    service = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    try:
        assert service.stderr is not None
        address = re.search(r"http://\S+", service.stderr.readline())
        assert address is not None
        report = measure(service.pid, address[0], given)
        report["service_ended_well"] = service.poll() is None
    finally:
        service.terminate()
        service.wait()
    write_atomically(given.out, (json.dumps(report, indent=2) + "\n").encode())
    print(json.dumps(report, indent=2))
    return int(report["server_errors"] > 0 or report["without_answer"] > 0)


def measure(process: int, base: str, given: argparse.Namespace) -> dict[str, Any]:
    photos = make_photos(given.largest)
    seconds = 60 * given.minutes
    began = time.monotonic()
    answers: list[tuple[float, float, int]] = []
    clients = [
        threading.Thread(target=ask, args=(base, photos, i, began + seconds, answers)) for i in range(given.clients)
    ]
    for client in clients:
        client.start()
    memory: list[float] = []
    while time.monotonic() < began + seconds:
        memory.append(resident_mib(process))
        time.sleep(1)
    for client in clients:
        client.join()
    counted = sorted(taken for started, taken, status in answers if started > began + seconds / 4 and status == 200)
    quarter = len(memory) // 4
    warm, last = (float(np.mean(part)) for part in (memory[quarter : 2 * quarter], memory[-quarter:]))
    return {
        "command": f"python benchmarks/serve_load.py --minutes {given.minutes:g} --clients {given.clients}"
        f" --largest {given.largest}",
        "model": given.model,
        "clients": given.clients,
        "minutes": given.minutes,
        "cores": os.cpu_count(),
        "load_average": [round(load, 2) for load in os.getloadavg()],
        "answers": dict(sorted(Counter(str(status) for _, _, status in answers).items())),
        "server_errors": sum(status >= 500 for _, _, status in answers),
        "without_answer": sum(status == 0 for _, _, status in answers),
        "seconds_p50": round(float(np.percentile(counted, 50)), 3) if counted else None,
        "seconds_p95": round(float(np.percentile(counted, 95)), 3) if counted else None,
        "memory_mib_after_warm_up": round(warm),
        "memory_mib_at_the_end": round(last),
        "memory_growth": round(last / warm - 1, 4),
        "memory_mib_peak": round(max(memory)),
    }


if __name__ == "__main__":
    sys.exit(main())
