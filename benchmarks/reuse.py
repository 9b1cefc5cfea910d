"""What `vilaco reuse` finds in collections with known answers, what it finds wrongly, and what it costs.

    python benchmarks/reuse.py PHOTOS [--pictures 100 1000] [--sheets 50] [--workers 2] [--runs DIR]

PHOTOS has a file ``photos.csv`` with the columns ``path`` and ``group``. For each size a collection is made of photos
drawn with a fixed seed, each shrunk to 0.4 megapixels at most and used once:

- a quarter of the files are copies of others, one transform each (`COPIES`);
- a quarter are photos into which a textured square of another photo of the collection was pasted, of each side in
  `SIDES` and scale in `SCALES`, a third of them mirrored and a third turned, and then saved at JPEG 80;
- one in ten is a sheet as of a paper: photos in panels on white, with letters, axes, a scale bar and a colour bar; half
  of the sheets have a panel in common with a photo;
- the rest are photos by themselves, most of them the sources of the above; they come beside what is planted, so that a
  collection may have up to a sixth more files than asked for.

So each planted file makes exactly one true pair; any other pair of two different photos is counted as wrong, though the
photos may have things in common of their own: those of one ``group`` are counted apart. Seconds are of the wall, memory
is the largest of any one process. Of the strong pairs, the share that is right comes with the lower end of its exact
one-sided 95% interval (Clopper and Pearson, Biometrika 1934); a strong repeat within a picture, of which none is
planted, counts as wrong.

``--sheets`` makes another collection, of sheets that have nothing in common but what figures have by nature: one logo,
arrows, scale bars, colour bars, plots with one legend, blank panels, and diffraction patterns, each symmetric to
itself. Every pair is a false alarm, counted by what lies where it is.

The rows go to ``benchmarks/results/reuse.json``, one for each size; what is not asked for keeps its row.
"""

import argparse
import csv
import json
import os
import platform
import resource
import shutil
import tempfile
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

import cv2
import faiss
import numpy as np
from scipy.stats import binomtest

from vilaco.data.forge.history import Edit, apply_edit
from vilaco.files import write_atomically
from vilaco.images import encode_jpeg, load_photo, resize_pixels
from vilaco.reuse.run import reuse

RESULT = Path(__file__).parent / "results" / "reuse.json"
PIXELS = 400_000
COPIES = ("jpeg 50", "half", "crop", "quarter turn", "turned by 10", "mirrored", "recoloured")
SIDES = (48, 64, 96, 128)
SCALES = (1.0, 0.7, 1.4, 0.5, 2.0)
NEW = 100  # pictures that are added to see what they cost


class Collection:
    """Pictures with known answers, written into a folder.

    Args:
        photos: Paths and groups, shuffled.
        folder: New.
        count: How many files.
    """

    def __init__(self, photos: list[tuple[Path, str]], folder: Path, count: int) -> None:
        self.photos, self.folder, self.rng = iter(photos), folder, np.random.default_rng(count)
        self.truth: dict[tuple[str, str], dict[str, Any]] = {}
        self.groups: dict[str, set[str]] = defaultdict(set)
        self.written = 0
        folder.mkdir(parents=True)
        copies, regions, sheets = count // 4, count // 4, count // 10
        for number in range(copies):
            self.copy(COPIES[number % len(COPIES)])
        for number in range(regions):
            self.region(SIDES[number % len(SIDES)], SCALES[number // len(SIDES) % len(SCALES)], number)
        for number in range(sheets):
            self.sheet(shared=number % 2 == 0)
        while self.written < count:
            self.write(*self.photo())

    def photo(self) -> tuple[np.ndarray, set[str]]:
        path, group = next(self.photos)
        photo = load_photo(path)
        pixels = photo.upright(photo.pixels)
        factor = min(1.0, (PIXELS / (pixels.shape[0] * pixels.shape[1])) ** 0.5)
        return resize_pixels(pixels, tuple(max(1, round(side * factor)) for side in pixels.shape[:2])), {group}

    def write(self, pixels: np.ndarray, groups: set[str], quality: int = 90) -> str:
        name = f"{self.written:06d}.jpg"
        self.written += 1
        (self.folder / name).write_bytes(encode_jpeg(np.ascontiguousarray(pixels), quality))
        self.groups[name] = groups
        return name

    def plant(self, source: str, name: str, **facts: Any) -> None:
        self.truth[source, name] = facts

    def copy(self, kind: str) -> None:
        pixels, groups = self.photo()
        height, width = pixels.shape[:2]
        source = self.write(pixels, groups)
        quality = 80
        if kind == "jpeg 50":
            quality = 50
        elif kind == "half":
            pixels = resize_pixels(pixels, (height // 2, width // 2))
        elif kind == "crop":
            pixels = pixels[height // 8 : -height // 5, width // 6 : -width // 7]
        elif kind == "quarter turn":
            pixels = np.rot90(pixels)
        elif kind == "turned by 10":
            matrix = cv2.getRotationMatrix2D((width / 2, height / 2), 10, 0.9)
            pixels = cv2.warpAffine(pixels, matrix, (width, height), flags=cv2.INTER_CUBIC)
        elif kind == "mirrored":
            pixels = pixels[:, ::-1]
        else:
            pixels = apply_edit(apply_edit(pixels, Edit("gamma", 1.0, 0)), Edit("warmth", 1.0, 0))
        self.plant(source, self.write(pixels, groups, quality), kind="copy", transform=kind)

    def region(self, side: int, scale: float, number: int) -> None:
        donor, groups = self.photo()
        host, others = self.photo()
        found = textured(donor, side, self.rng)
        source = self.write(donor, groups)
        if found is None:
            return
        top, left = found
        patch = donor[top : top + side, left : left + side]
        turned = number % 3
        patch = patch[:, ::-1] if turned == 1 else np.rot90(patch) if turned == 2 else patch
        size = max(8, round(side * scale))
        size = min(size, *host.shape[:2])
        patch = resize_pixels(np.ascontiguousarray(patch), (size, size))
        y, x = (int(self.rng.integers(0, length - size + 1)) for length in host.shape[:2])
        host = host.copy()
        host[y : y + size, x : x + size] = patch
        how = ("as it is", "mirrored", "quarter turn")[turned]
        box = (x, y, size, size)
        name = self.write(host, groups | others, 80)
        self.plant(source, name, kind="region", side=side, scale=scale, transform=how, box=box)

    def sheet(self, *, shared: bool) -> None:
        page = np.full((900, 700, 3), 255, np.uint8)
        groups: set[str] = set()
        for panel in range(4):
            pixels, own = self.photo()
            groups |= own
            if panel == 0 and shared:
                source = self.write(pixels, own)
            small = resize_pixels(pixels, (round(300 * pixels.shape[0] / pixels.shape[1]), 300))[:320]
            height = len(small)
            y, x = 60 + (panel // 2) * 420, 40 + (panel % 2) * 330
            page[y : y + height, x : x + 300] = small
            black, font = (0, 0, 0), cv2.FONT_HERSHEY_SIMPLEX
            cv2.putText(page, "ABCD"[panel], (x - 30, y + 20), font, 0.9, black, 2, cv2.LINE_AA)
            cv2.putText(page, "Figure 1. Mean intensity (a.u.)", (x, y + height + 22), font, 0.5, black, 1, cv2.LINE_AA)
            cv2.line(page, (x, y + height + 4), (x + 300, y + height + 4), black, 1)
            cv2.rectangle(page, (x + 230, y + height - 20), (x + 290, y + height - 15), (255, 255, 255), -1)
            for step in range(24):
                colour = tuple(int(value) for value in cv2.applyColorMap(np.uint8([[step * 10]]), 2)[0, 0])
                cv2.rectangle(page, (x + 302, y + 100 - step * 4), (x + 310, y + 104 - step * 4), colour, -1)
        name = self.write(page, groups, 92)
        if shared:
            self.plant(source, name, kind="panel", transform="panel of a sheet")


class Sheets:
    """Pages of figures with nothing in common but what figures have by nature.

    Args:
        photos: Paths and groups, shuffled; each is used once.
        folder: New.
        count: How many pages.
    """

    def __init__(self, photos: list[tuple[Path, str]], folder: Path, count: int) -> None:
        self.boxes: dict[str, dict[str, tuple[int, int, int, int]]] = {}
        folder.mkdir(parents=True)
        for number, (path, _) in zip(range(count), photos, strict=False):
            rng = np.random.default_rng([count, number])
            page, boxes = sheet_of_distractors(load_photo(path).pixels, rng)
            name = f"{number:04d}.jpg"
            (folder / name).write_bytes(encode_jpeg(page, int(rng.integers(80, 96))))
            self.boxes[name] = boxes

    def false_alarms(self, out: Path) -> dict[str, Any]:
        """Pairs by strength, and by what lies at the surest region's place in the first picture."""
        counts: dict[str, dict[str, int]] = {}
        for line in (out / "pairs.jsonl").read_text().splitlines():
            pair = json.loads(line)
            box = pair["regions"][0]["first"]["box"]
            boxes = self.boxes[Path(pair["first"]).name]
            what = max(boxes, key=lambda name: overlap(box, boxes[name]))
            places = counts.setdefault(pair["strength"], {})
            kind = f"{pair['kind']}: {what}"
            places[kind] = places.get(kind, 0) + 1
        return counts


def sheet_of_distractors(
    photo: np.ndarray, rng: np.random.Generator
) -> tuple[np.ndarray, dict[str, tuple[int, int, int, int]]]:
    """A page, and the boxes (x, y, width, height) of what is on it."""
    page = np.full((1000, 760, 3), 255, np.uint8)
    boxes: dict[str, tuple[int, int, int, int]] = {}
    dx, dy = (int(value) for value in rng.integers(0, 24, 2))

    def put(name: str, picture: np.ndarray, x: int, y: int) -> None:
        height, width = picture.shape[:2]
        page[y + dy : y + dy + height, x + dx : x + dx + width] = picture
        boxes[name] = (x + dx, y + dy, width, height)

    def write(text: str, x: int, y: int, size: float = 0.5) -> None:
        cv2.putText(page, text, (x + dx, y + dy), cv2.FONT_HERSHEY_SIMPLEX, size, (0, 0, 0), 1, cv2.LINE_AA)

    put("logo", logo(), 40, 10)
    write("Journal of Measured Things, vol. 12", 180, 50)
    small = resize_pixels(photo, (300, 320))
    marked(small, rng)
    put("photo with arrow and scale bar", small, 40, 110)
    put("diffraction pattern", diffraction(300, rng), 400, 110)
    put("plot", plot(rng), 40, 470)
    put("blank panel", np.full((300, 300, 3), 128, np.uint8), 400, 470)
    put("colour bar", colour_bar(), 704, 470)
    for panel, (x, y) in zip("ABCD", ((15, 125), (375, 125), (15, 485), (375, 485)), strict=True):
        write(panel, x, y, 0.8)
    for line in range(4):
        write("Figure 1. Mean intensity (a.u.) of treated and control samples, n = 3.", 40, 800 + 22 * line)
    boxes["caption"] = (40 + dx, 780 + dy, 640, 100)
    return page, boxes


def logo() -> np.ndarray:
    """The same on every page: a shaded disc and a name in a box."""
    picture = np.full((80, 130, 3), 255, np.uint8)
    for radius in range(34, 2, -2):
        cv2.circle(picture, (40, 40), radius, (20, 7 * radius, 220 - 5 * radius), -1, cv2.LINE_AA)
    cv2.putText(picture, "JM", (20, 50), cv2.FONT_HERSHEY_DUPLEX, 1.0, (255, 255, 255), 2, cv2.LINE_AA)
    cv2.rectangle(picture, (70, 20), (128, 60), (30, 60, 120), -1)
    cv2.putText(picture, "open", (76, 46), cv2.FONT_HERSHEY_DUPLEX, 0.6, (255, 255, 255), 1, cv2.LINE_AA)
    return picture


def marked(panel: np.ndarray, rng: np.random.Generator) -> None:
    """Draw two arrows and a scale bar on a panel, as on a micrograph."""
    height, width = panel.shape[:2]
    for _ in range(2):
        tip = int(rng.integers(60, width - 60)), int(rng.integers(60, height - 60))
        tail = tip[0] - 40, tip[1] - 25
        for colour, thick in (((0, 0, 0), 7), ((255, 255, 255), 4)):
            cv2.arrowedLine(panel, tail, tip, colour, thick, cv2.LINE_AA, tipLength=0.4)
    cv2.rectangle(panel, (width - 100, height - 24), (width - 20, height - 16), (255, 255, 255), -1)
    cv2.putText(panel, "10 um", (width - 88, height - 30), cv2.FONT_HERSHEY_SIMPLEX, 0.6, (255, 255, 255), 2)


def diffraction(side: int, rng: np.random.Generator) -> np.ndarray:
    """Spots of a lattice and rings around the middle: the same when turned by half, but for noise."""
    y, x = np.mgrid[:side, :side] - (side - 1) / 2
    radius = np.hypot(x, y)
    pattern = 120.0 * np.exp(-radius / 25)
    for ring in rng.uniform(30, 140, 4):
        pattern += rng.uniform(10, 30) * np.exp(-(((radius - ring) / 2) ** 2))
    length, turn = rng.uniform(22, 34), rng.uniform(0, np.pi)
    axes = length * np.array([[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]])
    for h in range(-5, 6):
        for k in range(0 if h > 0 else 1, 6):
            spot, height = h * axes[0] + k * axes[1], rng.uniform(30, 220)
            for sign in (1, -1):
                pattern += height * np.exp(-((x - sign * spot[0]) ** 2 + (y - sign * spot[1]) ** 2) / 8)
    noisy = pattern + rng.normal(0, 3, pattern.shape)
    return np.repeat(np.clip(noisy, 0, 255).astype(np.uint8)[..., None], 3, axis=2)


def plot(rng: np.random.Generator) -> np.ndarray:
    """Three curves of random walks, with axes, ticks and one legend."""
    picture = np.full((300, 320, 3), 255, np.uint8)
    font, black = cv2.FONT_HERSHEY_SIMPLEX, (0, 0, 0)
    cv2.rectangle(picture, (40, 10), (310, 260), black, 1)
    for tick in range(6):
        cv2.line(picture, (40 + 54 * tick, 260), (40 + 54 * tick, 254), black, 1)
        cv2.putText(picture, str(20 * tick), (32 + 54 * tick, 276), font, 0.4, black, 1, cv2.LINE_AA)
        cv2.putText(picture, f"{tick / 5:.1f}", (10, 264 - 50 * tick), font, 0.4, black, 1, cv2.LINE_AA)
    for name, (label, colour) in enumerate(
        (("control", (200, 30, 30)), ("treated", (30, 120, 30)), ("washed", (30, 30, 200)))
    ):
        heights = np.clip(135 + np.cumsum(rng.normal(0, 8, 90)), 12, 258)
        line = np.stack([40 + 3 * np.arange(90), heights], axis=1).astype(np.int32)
        cv2.polylines(picture, [line], False, colour, 2, cv2.LINE_AA)
        cv2.line(picture, (220, 25 + 16 * name), (240, 25 + 16 * name), colour, 2)
        cv2.putText(picture, label, (246, 29 + 16 * name), font, 0.4, black, 1, cv2.LINE_AA)
    return picture


def colour_bar() -> np.ndarray:
    """The same on every page."""
    levels = np.repeat(np.linspace(255, 0, 300).astype(np.uint8)[:, None], 16, axis=1)
    bar = np.full((300, 30, 3), 255, np.uint8)
    bar[:, :16] = cv2.applyColorMap(levels, cv2.COLORMAP_VIRIDIS)[..., ::-1]
    for tick in range(5):
        cv2.line(bar, (16, 4 + 73 * tick), (22, 4 + 73 * tick), (0, 0, 0), 1)
    return bar


def textured(pixels: np.ndarray, side: int, rng: np.random.Generator) -> tuple[int, int] | None:
    """Top and left of a square of which at least 80% has texture: 9 x 9 windows with a standard deviation above 8."""
    grey = cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY).astype(np.float32)
    mean = cv2.blur(grey, (9, 9))
    rough = (cv2.blur(grey * grey, (9, 9)) - mean * mean > 64).astype(np.float32)
    for _ in range(100):
        top, left = (int(rng.integers(0, length - side)) for length in grey.shape)
        if rough[top : top + side, left : left + side].mean() > 0.8:
            return top, left
    return None


def overlap(box: tuple[int, ...], other: tuple[int, ...]) -> float:
    """Intersection over union of two boxes."""
    width = min(box[0] + box[2], other[0] + other[2]) - max(box[0], other[0])
    height = min(box[1] + box[3], other[1] + other[3]) - max(box[1], other[1])
    both = max(0, width) * max(0, height)
    return both / (box[2] * box[3] + other[2] * other[3] - both)


def score(collection: Collection, out: Path) -> dict[str, Any]:
    found = {}
    for line in (out / "pairs.jsonl").read_text().splitlines():
        pair = json.loads(line)
        found[Path(pair["first"]).name, Path(pair["second"]).name] = pair
    cells: dict[str, list[tuple[bool, bool]]] = defaultdict(list)
    placed = []
    for key, facts in collection.truth.items():
        pair = found.get(key) or found.get((key[1], key[0]))
        result = pair is not None, pair is not None and pair["strength"] == "strong"
        names = [facts["kind"], f"{facts['kind']}: {facts['transform']}"]
        if facts["kind"] == "region":
            names += [f"region: side {facts['side']}", f"region: scale {facts['scale']}"]
            if facts["side"] >= 64 and 0.7 <= facts["scale"] <= 1.4:
                names.append("region: side from 64, scale 0.7 to 1.4")
            if facts["side"] >= 64:
                names.append("region: side from 64, all scales")
            if pair is not None:
                place = "second" if Path(pair["second"]).name == key[1] else "first"
                placed.append(max(overlap(region[place]["box"], facts["box"]) for region in pair["regions"]))
        for name in names:
            cells[name].append(result)
    true = set(collection.truth) | {(second, first) for first, second in collection.truth}
    wrong: dict[str, dict[str, int]] = {}
    for strength in ("strong", "moderate", "weak"):
        others = [
            key
            for key, pair in found.items()
            if pair["strength"] == strength and key not in true and pair["kind"] != "repeat"
        ]
        kin = sum(bool(collection.groups[first] & collection.groups[second]) for first, second in others)
        right = sum(found[key]["strength"] == strength for key in found if key in true)
        repeats = sum(pair["kind"] == "repeat" and pair["strength"] == strength for pair in found.values())
        wrong[strength] = {"right": right, "wrong": len(others), "wrong_of_one_group": kin, "repeats": repeats}
    strong = wrong["strong"]
    return {
        "recall": {
            name: {
                "planted": len(cell),
                "found": sum(any_ for any_, _ in cell),
                "strong": sum(sure for _, sure in cell),
            }
            for name, cell in sorted(cells.items())
        },
        "pairs": wrong,
        "strong_is_right": share_right(strong["right"], strong["wrong"] + strong["repeats"]),
        "regions_placed_median_iou": round(float(np.median(placed)), 3) if placed else None,
    }


def share_right(right: int, wrong: int) -> dict[str, float | None]:
    """The share that is right, and what it is at least, at 95%."""
    total = right + wrong
    if not total:
        return {"share": None, "at_least": None}
    low = binomtest(right, total, alternative="greater").proportion_ci(0.95).low
    return {"share": round(right / total, 4), "at_least": round(float(low), 4)}


def measure_sheets(photos: list[tuple[Path, str]], count: int, workers: int, runs: Path) -> dict[str, Any]:
    folder, out = runs / f"sheets-{count}", runs / f"reuse-sheets-{count}"
    for old in (folder, out):
        shutil.rmtree(old, ignore_errors=True)
    sheets = Sheets(photos, folder, count)
    used = cpu_seconds()
    reuse([folder], out, workers=workers)
    return {"sheets": count, "false_alarms": sheets.false_alarms(out), "cpu_seconds": round(cpu_seconds() - used, 1)}


def measure(photos: list[tuple[Path, str]], count: int, workers: int, runs: Path) -> dict[str, Any]:
    folder, out = runs / f"collection-{count}", runs / f"reuse-{count}"
    for old in (folder, out):
        shutil.rmtree(old, ignore_errors=True)
    collection = Collection(photos, folder, count)
    stages: dict[str, float] = {}
    last = ["", time.perf_counter()]

    def tell(stage: str, done: int, total: int, path: str | None, problem: tuple[str, str] | None) -> None:
        now = time.perf_counter()
        if last[0]:
            stages[last[0]] = stages.get(last[0], 0.0) + now - last[1]
        last[:] = [stage, now]

    files, started, used = collection.written, time.perf_counter(), cpu_seconds()
    reuse([folder], out, workers=workers, tell=tell)
    seconds, cpu = time.perf_counter() - started, cpu_seconds() - used
    result = {"pictures": count, "files": files, "seconds": round(seconds, 1), "cpu_seconds": round(cpu, 1)}
    result["seconds_by_stage"] = {stage: round(value, 1) for stage, value in stages.items()}
    result |= score(collection, out)
    more = min(NEW, count // 10)
    for _ in range(more):
        collection.write(*collection.photo())
    started, used = time.perf_counter(), cpu_seconds()
    reuse([folder], out, workers=workers)
    result["more"] = {
        "pictures": more,
        "seconds": round(time.perf_counter() - started, 1),
        "cpu_seconds": round(cpu_seconds() - used, 1),
    }
    peaks = (resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    result["peak_mebibytes_of_a_process"] = round(max(peaks) / 1024)
    result["disk_mebibytes"] = round(sum(file.stat().st_size for file in out.rglob("*") if file.is_file()) / 2**20)
    return result


def cpu_seconds() -> float:
    """Of this process and of all that have ended."""
    usage = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(each.ru_utime + each.ru_stime for each in usage)


def main() -> None:
    parser = argparse.ArgumentParser(description="What vilaco reuse finds, and what it costs.")
    parser.add_argument("photos", type=Path)
    parser.add_argument("--pictures", type=int, nargs="*", default=[100, 1000])
    parser.add_argument("--sheets", type=int, default=0, help="Pages of figures to count false alarms on.")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--runs", type=Path, help="Keep collections and results here.")
    parser.add_argument("--note", default="", help="What to say of the machine.")
    options = parser.parse_args()
    with open(options.photos / "photos.csv", newline="") as stream:
        listed = [(options.photos / row["path"], row["group"]) for row in csv.DictReader(stream)]
    result = json.loads(RESULT.read_text()) if RESULT.exists() else {}
    machine = {"workers": options.workers, "cpus": os.cpu_count()}
    with tempfile.TemporaryDirectory() as temporary:
        runs = options.runs or Path(temporary)

        def keep(part: str, count: int, row: dict[str, Any]) -> None:
            option = "pictures" if part == "sizes" else part
            row |= machine | {
                "load_average": round(os.getloadavg()[1], 2),
                "command": f"python benchmarks/reuse.py PHOTOS --{option} {count} --workers {options.workers}",
            }
            rows = result.get(part, {}) | {str(count): row | ({"note": options.note} if options.note else {})}
            result[part] = dict(sorted(rows.items(), key=lambda item: int(item[0])))
            write_atomically(RESULT, json.dumps(result, indent=1).encode() + b"\n")
            print(json.dumps(row, indent=1))

        result |= {
            "photo": f"JPEG of at most {PIXELS:,} pixels",
            "faiss": faiss.__version__,
            "opencv": cv2.__version__,
            "python": platform.python_version(),
        }
        for count in options.pictures:
            keep("sizes", count, measure(shuffled(listed), count, options.workers, runs))
        if options.sheets:
            keep("sheets", options.sheets, measure_sheets(shuffled(listed), options.sheets, options.workers, runs))


def shuffled(listed: list[tuple[Path, str]]) -> list[tuple[Path, str]]:
    return [listed[number] for number in np.random.default_rng(0).permutation(len(listed))]


if __name__ == "__main__":
    main()
