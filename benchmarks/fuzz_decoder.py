"""Mutated images of every accepted format through `load_photo`: what comes out, how long it takes, what memory does.

    python benchmarks/fuzz_decoder.py [--images 200000] [--jobs 2] [--seed 0]

Each image is a small file of some format and mode, changed one to eight times: bits, bytes, numbers that sizes and
counts are made of, ranges cut out, doubled, overwritten or taken from another file, the end cut off. What is there of
a file cut short is accepted, and of some files a later page is read. Image ``i`` of a seed is the same in every run.
Processes decode, and are watched from outside: an exception other than `ImageError`, a death, and a stop of more than
ten seconds are each recorded with the image's number. Resident memory is sampled, and its slope fitted after a warm-up
of a third. Writes ``benchmarks/results/fuzz_decoder.json``, exits with 1 on a finding; ``--show NUMBER`` writes that
image to a file instead.
"""

import argparse
import io
import json
import multiprocessing
import platform
import sys
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import pairwise
from multiprocessing.queues import Queue
from multiprocessing.sharedctypes import Synchronized
from pathlib import Path
from queue import Empty
from typing import Any

import cv2
import numpy as np
import PIL
import pillow_heif
from PIL import Image

from vilaco.errors import ImageError
from vilaco.files import write_atomically
from vilaco.images import count_pages, load_photo

RESULT = Path(__file__).parent / "results" / "fuzz_decoder.json"
STANDSTILL = 10.0  # seconds
SAMPLE = 250  # images between two looks at the memory
NUMBERS = [bytes(size) for size in (1, 2, 4)] + [b"\xff" * size for size in (1, 2, 4)]
NUMBERS += [b"\x7f\xff", b"\xff\x7f", b"\x80\x00", b"\x00\x01", b"\x01\x00", b"\x7f\xff\xff\xff", b"\xff\xff\xff\x7f"]


def seeds() -> list[tuple[str, bytes]]:
    """(format, file) of small pictures in every format that is accepted, and the modes it knows."""
    rng = np.random.default_rng(0)
    colour = Image.fromarray(cv2.resize(rng.integers(0, 256, (5, 7, 3), dtype=np.uint8), (48, 32)))
    alpha = colour.convert("RGBA")
    alpha.putalpha(colour.convert("L"))
    exif = Image.Exif()
    exif.update({0x0112: 6, 0x010F: "maker", 0x0132: "2020:01:01 00:00:00"})
    frames = {"save_all": True, "append_images": [colour.rotate(90), colour.rotate(180)]}
    deep = np.arange(48 * 32, dtype=np.uint16).reshape(32, 48) * 40
    pictures: list[tuple[str, Image.Image, dict[str, Any]]] = [
        ("JPEG", colour, {"exif": exif, "quality": 90}),
        ("JPEG", colour, {"progressive": True}),
        ("JPEG", colour.convert("L"), {"icc_profile": bytes(range(200))}),
        ("JPEG", colour.convert("CMYK"), {}),
        ("MPO", colour, frames),
        ("PNG", colour, {"exif": exif}),
        ("PNG", alpha, {}),
        ("PNG", colour.quantize(32), {"transparency": 3}),
        ("PNG", Image.fromarray(deep), {}),
        ("PNG", colour, frames),
        ("TIFF", colour, {}),
        ("TIFF", colour, {"compression": "tiff_lzw"}),
        ("TIFF", colour, {"compression": "jpeg"}),
        ("TIFF", colour.convert("1"), {"compression": "group4"}),
        ("TIFF", Image.fromarray(deep), {"compression": "tiff_adobe_deflate"}),
        ("TIFF", colour.convert("CMYK"), {}),
        ("BMP", colour, {}),
        ("BMP", colour.quantize(16), {}),
        ("WEBP", colour, {"exif": exif}),
        ("WEBP", alpha, {"lossless": True}),
        ("WEBP", colour, frames),
        ("GIF", colour, frames),
        ("GIF", colour.quantize(16), {"transparency": 2}),
        ("AVIF", colour, {}),
        ("AVIF", alpha, {}),
    ]
    files = []
    for kind, picture, options in pictures:
        stream = io.BytesIO()
        picture.copy().save(stream, kind, **options)
        files.append((kind, stream.getvalue()))
    for picture in (colour, alpha):
        stream = io.BytesIO()
        pillow_heif.from_pillow(picture).save(stream, quality=80)
        files.append(("HEIF", stream.getvalue()))
    return files


def mutated(files: list[tuple[str, bytes]], seed: int, number: int) -> tuple[str, bytes]:
    """Format and bytes of one image."""
    rng = np.random.default_rng([seed, number])
    kind, original = files[number % len(files)]
    data = bytearray(original)
    for _ in range(rng.integers(1, 9)):
        if not data:
            break
        # most of what a decoder decides by stands at the start
        at = int(rng.integers(0, len(data) if rng.random() < 0.5 else min(len(data), 200)))
        length = int(rng.integers(1, 64))
        match rng.integers(0, 9):
            case 0:
                data[at] ^= 1 << int(rng.integers(0, 8))
            case 1:
                data[at] = int(rng.integers(0, 256))
            case 2:
                chosen = NUMBERS[rng.integers(0, len(NUMBERS))]
                data[at : at + len(chosen)] = chosen
            case 3:
                del data[at : at + length]
            case 4:
                data[at:at] = data[at : at + length] * int(rng.integers(1, 20))
            case 5:
                data[at : at + length] = rng.bytes(length)
            case 6:
                _, other = files[rng.integers(0, len(files))]
                start = int(rng.integers(0, len(other)))
                data[at : at + length] = other[start : start + length]
            case 7 if rng.random() < 0.3:
                del data[at:]
            case _:
                data[at : at + 2] = int(rng.integers(0, 65536)).to_bytes(2, "big" if rng.random() < 0.5 else "little")
    return kind, bytes(data)


@dataclass
class Findings:
    """What one process, or all, came across."""

    outcomes: Counter[str] = field(default_factory=Counter)
    by_format: Counter[str] = field(default_factory=Counter)
    exceptions: list[dict[str, Any]] = field(default_factory=list)
    deaths: list[dict[str, Any]] = field(default_factory=list)
    standstills: list[int] = field(default_factory=list)
    slowest: tuple[float, int] = (0.0, -1)
    memory: list[list[float]] = field(default_factory=list)  # MiB of each process that lived long enough, over time


def decode_many(numbers: range, seed: int, at: "Synchronized[int]", heard: "Queue[tuple[str, Any]]") -> None:
    """In a process of its own."""
    files = seeds()
    for count, number in enumerate(numbers):
        at.value = number
        kind, data = mutated(files, seed, number)
        started = time.perf_counter()
        try:  # as a person who wants whatever is there would: a later page of one file in three, and cut files
            photo = load_photo(
                data, page=2 if number % 3 == 0 and count_pages(data) > 1 else None, accept_truncated=True
            )
            outcome = "photo" if photo.rows is None else "part of a photo"
        except ImageError as error:
            outcome = error.code
        except BaseException as error:
            outcome = "exception"
            heard.put(("exception", {"image": number, "format": kind, "error": repr(error)}))
        heard.put(("done", (kind, outcome, time.perf_counter() - started, number)))
        if count % SAMPLE == 0:
            heard.put(("memory", resident_mib()))
    heard.put(("end", None))


def resident_mib() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * 4096 / 2**20


def watch(numbers: range, seed: int, findings: Findings) -> Iterator[int]:
    """Decode a range in one process after another, going on behind what kills one; yields how many are done."""
    context = multiprocessing.get_context("spawn")
    while numbers:
        at: Synchronized[int] = context.Value("q", numbers.start)
        heard: Queue[tuple[str, Any]] = context.Queue()
        process = context.Process(target=decode_many, args=(numbers, seed, at, heard))
        process.start()
        memory: list[float] = []
        findings.memory.append(memory)
        ended, before, since = False, numbers.start, time.monotonic()
        while not ended:
            try:
                what, value = heard.get(timeout=1)
            except Empty:
                if at.value != before:
                    before, since = at.value, time.monotonic()
                if not process.is_alive() and heard.empty():
                    findings.deaths.append({"image": at.value, "exit_code": process.exitcode})
                    break
                if memory and time.monotonic() - since > STANDSTILL:
                    findings.standstills.append(at.value)
                    process.kill()
                    break
                continue
            before, since = at.value, time.monotonic()
            if what == "done":
                kind, outcome, seconds, number = value
                findings.outcomes[outcome] += 1
                findings.by_format[kind] += 1
                findings.slowest = max(findings.slowest, (round(seconds, 3), number))
                yield 1
            elif what == "memory":
                memory.append(value)
            elif what == "exception":
                findings.exceptions.append(value)
            else:
                ended = True
        process.join()
        numbers = range(0) if ended else range(at.value + 1, numbers.stop)


def slope(memory: list[float]) -> float:
    """MiB gained over 10,000 images after a third of warm-up, fitted to the least of each tenth.

    A large picture leaves holes in the heap that fill up again; a leak raises the least, too.
    """
    tenths = np.array_split(np.array(memory[len(memory) // 3 :]), 10)
    least = [tenth.min() for tenth in tenths if len(tenth)]
    images = SAMPLE * sum(map(len, tenths)) / len(least)
    return float(np.polyfit(np.arange(len(least)) * images, least, 1)[0] * 10_000)


def main() -> int:
    parser = argparse.ArgumentParser(description="Fuzz the decoder.")
    parser.add_argument("--images", type=int, default=200_000)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--show", type=int, metavar="NUMBER")
    parser.add_argument("--out", type=Path, default=RESULT)
    options = parser.parse_args()
    if options.show is not None:
        kind, data = mutated(seeds(), options.seed, options.show)
        Path(f"fuzz_{options.show}.{kind.lower()}").write_bytes(data)
        return 0
    started, findings = time.perf_counter(), Findings()
    edges = np.linspace(0, options.images, options.jobs + 1).astype(int).tolist()
    watchers = [watch(range(low, high), options.seed, findings) for low, high in pairwise(edges)]
    run_all(watchers)
    long = [memory for memory in findings.memory if len(memory) >= 6]
    result = {
        "command": f"python benchmarks/fuzz_decoder.py --images {options.images} --jobs {options.jobs} "
        f"--seed {options.seed}",
        "images": sum(findings.outcomes.values()) + len(findings.deaths) + len(findings.standstills),
        "outcomes": dict(findings.outcomes.most_common()),
        "by_format": dict(findings.by_format.most_common()),
        "other_exceptions": findings.exceptions,
        "deaths": findings.deaths,
        "standstills": findings.standstills,
        "slowest_seconds": findings.slowest[0],
        "slowest_image": findings.slowest[1],
        "memory_mib": [[round(memory[len(memory) // 3], 1), round(memory[-1], 1)] for memory in long],
        "memory_slope_mib_per_10000_images": [round(slope(memory), 2) for memory in long],
        "seconds": round(time.perf_counter() - started, 1),
        "pillow": PIL.__version__,
        "pillow_heif": pillow_heif.__version__,
        "python": platform.python_version(),
    }
    write_atomically(options.out, json.dumps(result, indent=1).encode() + b"\n")
    print(options.out.read_text())
    return int(bool(findings.exceptions or findings.deaths or findings.standstills))


def run_all(watchers: list[Iterator[int]]) -> None:
    """Drive all watchers at once, each from a thread of its own."""
    with ThreadPoolExecutor(len(watchers)) as pool:
        for future in [pool.submit(lambda each=each: sum(each)) for each in watchers]:
            future.result()


if __name__ == "__main__":
    sys.exit(main())
