"""What a model says of authentic photos, by kind of photo, and beside it of forgeries.

    python benchmarks/false_alarms.py ../shared/data --pool POOL.csv --photos PHOTOS

Kinds are photos as people have them (camera originals, phone photos for the web, street photos, old web JPEGs, PNG
from lossless sources, screenshots taken in a browser), and web photos after innocent changes, each written as a file
and read back. Forgeries are those of casia1_dev, micc_f220 and comofod_50, as stored and at 0.75x and JPEG 80, and some
made from held-out photos, by operation and area. Of the pool only what no course learns from or calibrates on is
judged: the validation side, and all camera originals that no model is calibrated on (a course that trains on
``cameras`` must not be judged by that kind). Models that were trained otherwise are named in the table's heading.

For each kind: photos, and with 95% Wilson intervals how many are called tampered, how many get no verdict, how many
have any region drawn, and how many are told to be unlike the photos calibrated on; the mean area drawn. Takes up under
``--runs`` what is judged already, and may be stopped. Writes ``false_alarms_MODEL.csv`` and ``.md`` to
``benchmarks/results/``.
"""

import argparse
import base64
import csv
import hashlib
import io
import json
import os
import shutil
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from PIL import Image
from pillow_heif import register_heif_opener
from rich.progress import track
from scipy.stats import binomtest

from harness import RESULTS, calibrates
from vilaco.data.forge import ForgeConfig, PhotoPool, make_example
from vilaco.data.formats import read_dataset
from vilaco.data.pool import PoolPhoto, find_photo, read_pool
from vilaco.data.records import TAMPERED
from vilaco.evaluation.histories import INNOCENT_CHANGES
from vilaco.files import write_atomically
from vilaco.images import encode_jpeg, encode_png, load_photo
from vilaco.localizer import Localizer
from vilaco.training.validation import AREAS

MOST = 150
"""Photos of a kind: enough for a share of 5% to be told from one of 10%."""
WEB, CHANGED = ("clothing", "street", "imagenet"), 30
"""Sources of the photos that are changed, and how many of each."""
FORGED = 300
LARGE = "large cameras"
CHROMIUM = os.environ.get("CHROMIUM") or shutil.which("chromium")
SMALL = "0.75x, JPEG 80"
PAGE = """<body style="font:16px sans-serif;margin:24px;color:#222"><h2>Notes from the road</h2>
<p>It had rained all night, and in the morning the streets were empty.</p>
<img src="data:image/jpeg;base64,{photo}" style="width:{width}px"><p>Photo of the day. 14 comments</p></body>"""


@dataclass(frozen=True)
class Case:
    """Something to judge.

    Attributes:
        kinds: Its rows.
        name: Tells it from the others of its first kind.
        label: 1 tampered, 0 authentic.
        file: Makes the file's bytes.
    """

    kinds: tuple[str, ...]
    name: str
    label: int
    file: Callable[[], bytes]


def saved(pixels: np.ndarray, form: str, **options: Any) -> bytes:
    """A file of a type that Pillow writes."""
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, form, **options)
    return stream.getvalue()


def drawn(pixels: np.ndarray) -> np.random.Generator:
    """Random numbers of a picture's own, so that a change is the same whenever it is made."""
    return np.random.default_rng(int(pixels.sum()))


def greyscale(pixels: np.ndarray) -> bytes:
    """As a scanner or an editor makes it, JPEG 90."""
    return encode_jpeg(cv2.cvtColor(cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB), 90)


def enlarged(pixels: np.ndarray) -> bytes:
    """1.3 to 2 times as large, cubic, JPEG 90."""
    scale = drawn(pixels).uniform(1.3, 2.0)
    return encode_jpeg(np.asarray(cv2.resize(pixels, None, fx=scale, fy=scale, interpolation=cv2.INTER_CUBIC)), 90)


def sharpened(pixels: np.ndarray) -> bytes:
    """Unsharp mask of 1 pixel and 80%, JPEG 90."""
    return encode_jpeg(np.asarray(cv2.addWeighted(pixels, 1.8, cv2.GaussianBlur(pixels, (0, 0), 1.0), -0.8, 0.0)), 90)


def tone_mapped(pixels: np.ndarray) -> bytes:
    """Local contrast by adaptive equalisation of the lightness, JPEG 90."""
    lab = cv2.cvtColor(pixels, cv2.COLOR_RGB2LAB)
    lab[..., 0] = cv2.createCLAHE(2.0, (8, 8)).apply(lab[..., 0])
    return encode_jpeg(np.asarray(cv2.cvtColor(lab, cv2.COLOR_LAB2RGB)), 90)


def saved_again(times: int) -> Callable[[np.ndarray], bytes]:
    """JPEG of qualities 70 to 95, so many times."""

    def save(pixels: np.ndarray) -> bytes:
        rng = drawn(pixels)
        for _ in range(times):
            data = encode_jpeg(pixels, int(rng.integers(70, 96)))
            pixels = load_photo(data).pixels
        return data

    return save


CHANGES: dict[str, Callable[[np.ndarray], bytes]] = {
    "greyscale": greyscale,
    "enlarged": enlarged,
    "sharpened": sharpened,
    "tone-mapped": tone_mapped,
    **{f"saved {times} more": saved_again(times) for times in (1, 2, 3, 4)},
    "PNG": encode_png,
    "WebP": lambda pixels: saved(pixels, "WEBP", quality=80),
    "AVIF": lambda pixels: saved(pixels, "AVIF", quality=70),
    "HEIC": lambda pixels: saved(pixels, "HEIF", quality=70),
    SMALL: lambda pixels: encode_jpeg(INNOCENT_CHANGES["0.75x"](pixels), 80),
}


def changed(path: Path, write: Callable[[np.ndarray], bytes]) -> bytes:
    """The file of a photo after a change."""
    return write(load_photo(path).pixels)


def authentic_cases(data: Path, pool: dict[str, list[Path]]) -> Iterator[Case]:
    """Authentic photos, as they are and changed."""

    def as_stored(kind: str, paths: list[Path]) -> Iterator[Case]:
        for path in paths[:MOST]:
            yield Case((kind,), str(path), 0, path.read_bytes)

    yield from as_stored("camera originals up to 2 MP", pool["cameras"])
    yield from as_stored("camera originals over 2 MP", pool[LARGE])
    yield from as_stored("phone photos for the web", pool["clothing"])
    yield from as_stored("street photos", pool["street"])
    yield from as_stored("web photos", pool["imagenet"] + pool["imagenet_sample"])
    yield from as_stored("old web JPEGs", pool["casia2_au"] + authentic(data / "casia1_dev"))
    yield from as_stored("photos of micc_f220", authentic(data / "micc_f220"))
    yield from as_stored("lossless PNG", authentic(data / "comofod_50") + pool["roads"] + pool["urban"])
    web = [path for source in WEB for path in pool[source][:CHANGED]]
    for change, write in CHANGES.items():
        for path in web:
            yield Case((f"web photos, {change}",), str(path), 0, partial(changed, path, write))


def authentic(folder: Path) -> list[Path]:
    """Authentic photos of a data set."""
    return [Path(record.path) for record in read_dataset(folder) if record.label != TAMPERED]


def screenshots(paths: list[Path]) -> Iterator[Case]:
    """Photos on a web page in Chromium, as PNG."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1280, "height": 800})
        for path in paths:
            width = int(np.random.default_rng(path.stat().st_size).integers(480, 1100))
            page.set_content(PAGE.format(photo=base64.b64encode(path.read_bytes()).decode(), width=width))
            page.wait_for_function("document.images[0].complete")
            shot = page.screenshot()
            yield Case(("screenshots",), str(path), 0, partial(bytes, shot))
        browser.close()


def forged_cases(data: Path, paths: list[Path]) -> Iterator[Case]:
    """Forgeries of the sets that models are reported on, and of held-out photos."""
    for name in ("casia1_dev", "micc_f220", "comofod_50"):
        forged = [Path(record.path) for record in read_dataset(data / name) if record.label == TAMPERED]
        for path in forged:
            yield Case((name,), str(path), 1, path.read_bytes)
        for path in forged:
            yield Case((f"{name}, {SMALL}",), str(path), 1, partial(changed, path, CHANGES[SMALL]))
    photos = PhotoPool(paths, max_side=ForgeConfig().max_side)
    for number in range(FORGED):
        host = number % len(photos.paths)
        example = make_example(photos, np.random.default_rng([20261128, number]), host=host, label=TAMPERED)
        operation, area = (example.operation or "").partition(" ")[0], example.mask.mean()
        size = next(name for name, (low, high) in AREAS.items() if low <= area < high)
        kinds = (f"made: {operation}", f"made: {size} of the picture")
        yield Case(kinds, str(number), 1, partial(bytes, example.encoded))


def judge(localizer: Localizer, cases: Iterable[Case], log: Path) -> list[dict[str, Any]]:
    """A row a case, those already in the log as they stand there."""
    log.parent.mkdir(parents=True, exist_ok=True)
    lines = log.read_text().splitlines() if log.exists() else []
    known = {(row["kinds"][0], row["name"]): row for row in map(json.loads, lines)}
    rows = []
    with log.open("a") as stream:
        for case in cases:
            row = known.get((case.kinds[0], case.name))
            if row is None:
                result = localizer(case.file())
                row = {
                    "kinds": case.kinds,
                    "name": case.name,
                    "label": case.label,
                    "verdict": result.verdict,
                    "score": result.detection_score,
                    "regions": len(result.regions),
                    "area": float(result.pred_mask.mean()),
                    "unlike": len(result.unlike),
                }
                stream.write(json.dumps(row) + "\n")
                stream.flush()
            rows.append(row)
    return rows


def share(count: int, total: int) -> str:
    """A share with its interval, in per cent."""
    interval = binomtest(count, total).proportion_ci(method="wilson")
    return f"{100 * count / total:.0f} [{100 * interval.low:.0f}, {100 * interval.high:.0f}]"


def figures(kind: str, rows: list[dict[str, Any]]) -> dict[str, Any]:
    """A row of the table."""
    count = len(rows)
    return {
        "kind": kind,
        "label": rows[0]["label"],
        "photos": count,
        "called tampered": sum(row["verdict"] == "tampered" for row in rows),
        "cannot tell": sum(row["verdict"] == "cannot tell" for row in rows),
        "any region drawn": sum(row["regions"] > 0 for row in rows),
        "told to be unlike": sum(row["unlike"] > 0 for row in rows),
        "area drawn": round(sum(row["area"] for row in rows) / count, 4),
    }


def table(rows: list[dict[str, Any]]) -> list[str]:
    """Rows in Markdown."""
    counts = ("called tampered", "cannot tell", "any region drawn", "told to be unlike")
    lines = [
        "| kind | photos | called tampered, % | cannot tell, % | any region drawn, % | unlike, % | area drawn, % |",
        "|---|" + "--:|" * 6,
    ]
    for row in rows:
        cells = [share(row[name], row["photos"]) for name in counts]
        lines.append(f"| {row['kind']} | {row['photos']} | {' | '.join(cells)} | {100 * row['area drawn']:.1f} |")
    return lines


def main() -> None:
    """Judge, then write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="folder of casia1_dev, micc_f220 and comofod_50")
    parser.add_argument("--pool", type=Path, required=True, help="list from vilaco data pool")
    parser.add_argument("--photos", type=Path, nargs="+", required=True, help="folders below which its photos lie")
    parser.add_argument("--model", default="research")
    parser.add_argument("--runs", type=Path, default=Path("runs/false_alarms"))
    args = parser.parse_args()
    register_heif_opener()
    localizer = Localizer.load(args.model)
    pool: dict[str, list[Path]] = {}
    for photo in filter(held_out, read_pool(args.pool)):
        large = photo.source == "cameras" and photo.width * photo.height > 2e6
        pool.setdefault(LARGE if large else photo.source, []).append(find_photo(photo, args.photos))
    calibrated = hashlib.sha256(repr(localizer.calibration).encode()).hexdigest()
    log = args.runs / f"{localizer.fingerprint[:12]}-{calibrated[:8]}.jsonl"
    forged_from = [path for source in WEB for path in pool[source]]

    def cases() -> Iterator[Case]:
        yield from authentic_cases(args.data, pool)
        yield from screenshots([path for source in WEB for path in pool[source][:25]])
        yield from forged_cases(args.data, forged_from)

    rows = judge(localizer, track(cases(), description="judging"), log)
    kinds: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        for kind in row["kinds"]:
            kinds.setdefault(kind, []).append(row)
    told = [figures(kind, some) for kind, some in kinds.items()]
    quiet = [row for row in rows if not row["label"]]
    told.append(figures("all authentic", quiet))
    name = f"false_alarms_{Path(args.model).name}"
    stream = io.StringIO()
    writer = csv.DictWriter(stream, list(told[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(told)
    write_atomically(RESULTS / f"{name}.csv", stream.getvalue().encode())
    lines = [
        f"# False alarms of `{Path(args.model).name}`, by kind of photo",
        "",
        f"Weights {localizer.fingerprint[:12]}, encoder {localizer.encoder_name}; by `benchmarks/false_alarms.py`. "
        f"Decision threshold {localizer.thresholds.decision:.3f}, promised false alarms {localizer.max_false_alarms}.",
        "",
        "## Authentic photos",
        "",
        *table([row for row in told if not row["label"]]),
        "",
        "## Forgeries",
        "",
        *table([row for row in told if row["label"]]),
        "",
    ]
    write_atomically(RESULTS / f"{name}.md", "\n".join(lines).encode())
    print("\n".join(lines))


def held_out(photo: PoolPhoto) -> bool:
    """Whether no course learns from a photo, and no model is calibrated on it."""
    return not calibrates(photo) and (photo.side == "validation" or photo.source == "cameras")


if __name__ == "__main__":
    main()
