"""A leg of a course on a machine that is lent for minutes: little goes there, and little comes back.

    python benchmarks/course_leg.py pack benchmarks/courses/research.yaml --pool pool.csv --photos photos/ \
        --start runs/research/newest --number 3 --out leg
    python benchmarks/course_leg.py run leg --minutes 8 --out leg_done     # there; with a GPU it is used
    python benchmarks/course_leg.py pack … --start leg_done/model --number 4 --out leg

``pack`` puts what the leg needs into one folder of at most ``--mib``: the course, a draw of the pool's photos that
differs from leg to leg (the validation photos do not), and the weights so far in half precision. ``run`` goes on from
these weights for so many minutes and leaves ``model/`` (12 MB for the shipped network), ``curve.csv`` and
``curve.png``. The optimiser's state does not travel: each leg warms up anew.
"""

import argparse
import shutil
from collections import Counter
from pathlib import Path

import numpy as np
import yaml
from safetensors.torch import load_file
from safetensors.torch import save as save_tensors

from vilaco.data.pool import PoolPhoto, find_photo, read_pool, write_pool
from vilaco.files import refuse_filled, write_atomically
from vilaco.method.checkpoint import CONFIG
from vilaco.runtimes import WEIGHTS
from vilaco.training.course import Course, read_course, run_course

COURSE, POOL, PHOTOS, START = "course.yaml", "pool.csv", "photos", "start"
LARGEST = 400_000
"""Bytes of a photo; camera originals would leave room for few others."""
VALIDATION_SHARE = 0.15
"""Of the bytes: photos that judge, the same in every leg."""


def pack(course: Course, pool: Path, roots: list[Path], start: Path, out: Path, *, number: int, mib: float) -> None:
    """Write a leg's folder."""
    refuse_filled(out)
    copy_halved(start, out / START)
    room = mib * 2**20 - sum(file.stat().st_size for file in (out / START).iterdir())
    photos = [
        photo
        for photo in read_pool(pool)
        if (not course.sources or photo.source in course.sources) and photo.terms in (course.terms or [photo.terms])
    ]
    taken: list[PoolPhoto] = []
    for side, share, seed in (("validation", VALIDATION_SHARE, 0), ("training", 1 - VALIDATION_SHARE, number)):
        some = [photo for photo in photos if photo.side == side]
        counts = Counter(photo.source for photo in some)
        weights = np.array([(course.sources.get(photo.source, 1.0)) / counts[photo.source] for photo in some])
        order = np.random.default_rng([seed, len(side)]).choice(len(some), len(some), False, weights / weights.sum())
        left = room * share
        for index in order:
            file = find_photo(some[index], roots)
            if file.stat().st_size > LARGEST:
                continue
            left -= file.stat().st_size
            if left < 0:
                break
            target = out / PHOTOS / some[index].path
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(file, target)
            taken.append(some[index])
    present = {photo.source for photo in taken if photo.side == "training"}
    changes = {
        "sources": {source: weight for source, weight in course.sources.items() if source in present},
        "segments": [],
        "start_from": START,
        "seed": course.seed + number,
    }
    leg = Course.model_validate({**course.model_dump(), **changes})
    write_pool(taken, out / POOL)
    write_atomically(out / COURSE, yaml.safe_dump(leg.model_dump(mode="json"), sort_keys=False).encode())
    print(f"{out}: {len(taken)} photos, {sum(f.stat().st_size for f in out.rglob('*') if f.is_file()) / 2**20:.1f} MiB")


def run(leg: Path, out: Path, *, minutes: float) -> None:
    """Go on from a leg's weights for so many minutes."""
    course = read_course(leg / COURSE).model_copy(update={"start_from": str(leg / START)})
    summary = run_course(course, leg / POOL, [leg / PHOTOS], out / "state", minutes=minutes)
    copy_halved(out / "state/newest", out / "model")
    for name in ("curve.csv", "curve.png"):
        shutil.copyfile(out / "state" / name, out / name)
    shutil.rmtree(out / "state")
    print(f"{out}: {summary.figures['pictures']:.0f} pictures at the last validation")


def copy_halved(model: Path, out: Path) -> None:
    """A model folder in half precision."""
    weights = {name: value.half() for name, value in load_file(model / WEIGHTS).items()}
    write_atomically(out / WEIGHTS, save_tensors(weights))
    write_atomically(out / CONFIG, (model / CONFIG).read_bytes())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    packing = commands.add_parser("pack", help="put what a leg needs into a folder")
    packing.add_argument("course", type=Path)
    packing.add_argument("--pool", type=Path, required=True)
    packing.add_argument("--photos", type=Path, action="append", required=True)
    packing.add_argument("--start", type=Path, required=True, help="model folder to go on from")
    packing.add_argument("--number", type=int, default=0, help="of the leg; draws other photos")
    packing.add_argument("--mib", type=float, default=60.0)
    packing.add_argument("--out", type=Path, required=True)
    running = commands.add_parser("run", help="train a packed leg")
    running.add_argument("leg", type=Path)
    running.add_argument("--minutes", type=float, default=8.0)
    running.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    if arguments.command == "pack":
        course = read_course(arguments.course)
        pack(
            course,
            arguments.pool,
            arguments.photos,
            arguments.start,
            arguments.out,
            number=arguments.number,
            mib=arguments.mib,
        )
    else:
        run(arguments.leg, arguments.out, minutes=arguments.minutes)


if __name__ == "__main__":
    main()
