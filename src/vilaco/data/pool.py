"""A training pool: which photos a model may learn from, which judge its training, and which calibrate it.

Photos lie in folders of sources, ``ROOT/SOURCE/...``. Those that cannot be read, that look like one before them or
like a picture of a set that models are judged on, are left out and counted. The rest are dealt out by group, so that
one person's photos, or one scene's, are on one side. The result is a list with hashes and terms that can be committed;
the photos themselves never are.
"""

import csv
import hashlib
import io
import lzma
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Literal, cast, get_args

import imagehash
import numpy as np
from PIL import Image

from vilaco.errors import DataError, ImageError
from vilaco.files import walk_images, write_atomically
from vilaco.images import load_photo
from vilaco.similar import similar_groups

Side = Literal["training", "validation", "calibration"]
SHARES = {"training": 0.9, "validation": 0.05, "calibration": 0.05}
PHOTOS = "photos.csv"
"""Where a root says more of its photos than their places do: columns path, source, terms and group."""
PACKED = ".xz"
UNKNOWN_TERMS = "not stated"
MIN_SIDE = 128
"""Pixels; smaller photos hold hardly a trace that outlives a re-size."""
JUDGED_DISTANCE = 8
"""Bits within which a photo counts as one of a set that is judged on: rather one too many left out than one too few."""


@dataclass(frozen=True, slots=True)
class PoolPhoto:
    """A photo of a pool.

    Attributes:
        path: Below one of the roots, ``source/...``.
        sha256: Of the file's bytes.
        source: Where it comes from.
        terms: ``free`` (any use), ``research``, or what else its source says.
        group: What must stay on one side.
        width: Pixels on the stored grid.
        height: Likewise.
        side: What it is for.
    """

    path: str
    sha256: str
    source: str
    terms: str
    group: str
    width: int
    height: int
    side: Side


@dataclass(frozen=True)
class PoolReport:
    """A new pool, and what was left out of it.

    Attributes:
        photos: Ordered by path.
        unreadable: One error each.
        small: Photos with a side under :data:`MIN_SIDE`.
        thinned: Left out because only every so many of a source were asked for.
        alike: Near-identical to a photo that is kept.
        judged: Near-identical to a picture of a set that is judged on.
    """

    photos: list[PoolPhoto]
    unreadable: list[ImageError]
    small: int
    thinned: int
    alike: int
    judged: int


@dataclass(frozen=True)
class _Candidate:
    path: str
    source: str
    terms: str
    group: str
    file: Path


@dataclass(frozen=True)
class Look:
    """What is known of a file once it was read: its bytes' hash, its perceptual hash, and its size in pixels."""

    sha256: str
    hash: str
    width: int
    height: int


def build_pool(
    roots: Sequence[Path],
    *,
    sources: Sequence[str],
    against: Sequence[Path] = (),
    every: Mapping[str, int] | None = None,
    terms: Mapping[str, str] | None = None,
    scenes: Collection[str] = (),
    seed: int = 0,
    look: Callable[[Sequence[Path]], Iterable["Look | ImageError"]] | None = None,
) -> PoolReport:
    """Gather the photos of sources into a pool.

    Args:
        roots: Folders of sources.
        sources: Their names; of two near-identical photos that of the source named first is kept.
        against: Folders of pictures that models are judged on.
        every: For a source of video frames, take every so many.
        terms: For sources that no :data:`PHOTOS` describes.
        scenes: Sources that show one scene, whose photos stay on one side.
        seed: Fixes the sides together with the groups' names, so a pool that grows keeps its sides.
        look: Reads and hashes files; processes of its own may, and show how far they are.

    Raises:
        DataError: If a source lies in none of the roots.
    """
    look = look or (lambda files: map(look_at, files))
    candidates, thinned = [], 0
    for source in sources:
        found = _candidates(roots, source, (terms or {}).get(source, UNKNOWN_TERMS))
        if source in scenes:
            found = [replace(candidate, group=source) for candidate in found]
        chosen = found[:: (every or {}).get(source, 1)]
        candidates += chosen
        thinned += len(found) - len(chosen)
    judged_files = [file for folder in against for file in walk_images(folder)]
    looks = list(look([*(candidate.file for candidate in candidates), *judged_files]))
    judged_hashes = _values([seen.hash for seen in looks[len(candidates) :] if isinstance(seen, Look)])
    unreadable: list[ImageError] = []
    kept: list[tuple[_Candidate, Look]] = []
    small = 0
    for candidate, seen in zip(candidates, looks, strict=False):
        if isinstance(seen, ImageError):
            unreadable.append(seen)
        elif min(seen.width, seen.height) < MIN_SIDE:
            small += 1
        else:
            kept.append((candidate, seen))
    of_judged = [bool(_near(seen.hash, judged_hashes)) for _, seen in kept]
    others = [pair for pair, near in zip(kept, of_judged, strict=True) if not near]
    copies = {index for group in similar_groups([seen.hash for _, seen in others]) for index in group[1:].tolist()}
    photos = [
        PoolPhoto(
            one.path, seen.sha256, one.source, one.terms, one.group, seen.width, seen.height, side_of(one.group, seed)
        )
        for index, (one, seen) in enumerate(others)
        if index not in copies
    ]
    photos.sort(key=lambda photo: photo.path)
    return PoolReport(photos, unreadable, small, thinned, len(copies), sum(of_judged))


def look_at(file: Path) -> "Look | ImageError":
    """Read and hash one photo, or say why it cannot be."""
    try:
        photo = load_photo(file)
    except ImageError as error:
        return error
    height, width = photo.pixels.shape[:2]
    hash_ = str(imagehash.phash(Image.fromarray(photo.pixels)))
    return Look(hashlib.sha256(file.read_bytes()).hexdigest(), hash_, width, height)


def side_of(group: str, seed: int) -> Side:
    """The side of a group, by its name alone.

    Example:
        >>> from collections import Counter
        >>> sorted(Counter(side_of(str(number), seed=0) for number in range(1000)).items())
        [('calibration', 54), ('training', 895), ('validation', 51)]
    """
    place = int.from_bytes(hashlib.sha256(f"{seed} {group}".encode()).digest()[:8]) / 2.0**64
    for side in get_args(Side):
        place -= SHARES[side]
        if place < 0:
            return side
    return "training"


def write_pool(photos: Sequence[PoolPhoto], path: Path) -> None:
    """Write a pool's list, whole or not at all; packed where its name ends in ``.xz``."""
    table = io.StringIO()
    writer = csv.DictWriter(table, [field.name for field in fields(PoolPhoto)], lineterminator="\n")
    writer.writeheader()
    writer.writerows(asdict(photo) for photo in photos)
    data = table.getvalue().encode()
    write_atomically(path, lzma.compress(data) if path.suffix == PACKED else data)


def read_pool(path: Path) -> list[PoolPhoto]:
    """Read what :func:`write_pool` wrote.

    Raises:
        DataError: If it is no such list.
    """
    names = [field.name for field in fields(PoolPhoto)]
    sides = get_args(Side)
    photos = []
    try:
        with (lzma.open if path.suffix == PACKED else open)(path, "rt", newline="", encoding="utf-8") as file:
            reader = csv.DictReader(file)
            if reader.fieldnames != names:
                raise DataError(f"{path}: not a pool's list; its columns are {', '.join(names)}")
            for row in reader:
                if row["side"] not in sides:
                    raise DataError(f"{path}: {row['path']}: side {row['side']!r} is none of {', '.join(sides)}")
                width, height, side = int(row.pop("width")), int(row.pop("height")), cast(Side, row.pop("side"))
                photos.append(PoolPhoto(**row, width=width, height=height, side=side))
    except (OSError, ValueError, csv.Error, lzma.LZMAError, TypeError) as error:
        raise DataError(f"{path}: not a pool's list ({error})") from error
    return photos


def find_photo(photo: PoolPhoto, roots: Sequence[Path]) -> Path:
    """Where a photo of a pool lies.

    Raises:
        DataError: If it lies in none of the roots.
    """
    for root in roots:
        if (root / photo.path).is_file():
            return root / photo.path
    raise DataError(f"{photo.path}: in none of {', '.join(map(str, roots))}")


def pool_table(photos: Sequence[PoolPhoto]) -> str:
    """The pool by source in Markdown, for a model's card."""
    lines = ["| source | terms | photos | training | validation | calibration |", "|---|---|---|---|---|---|"]
    for source, terms in sorted({(photo.source, photo.terms) for photo in photos}):
        sides = Counter(photo.side for photo in photos if photo.source == source)
        counts = " | ".join(str(sides[side]) for side in get_args(Side))
        lines.append(f"| {source} | {terms} | {sides.total()} | {counts} |")
    return "\n".join(lines)


def _candidates(roots: Sequence[Path], source: str, terms: str) -> list[_Candidate]:
    for root in roots:
        described = [row for row in _described(root / PHOTOS) if row["source"] == source]
        if described:
            return [_Candidate(r["path"], source, r["terms"], r["group"], root / r["path"]) for r in described]
        if (root / source).is_dir():
            files = list(walk_images(root / source))
            names = [file.relative_to(root).as_posix() for file in files]
            pairs = zip(names, files, strict=True)
            return [_Candidate(name, source, terms, name, file) for name, file in pairs]
    raise DataError(f"{source}: no such source in {', '.join(map(str, roots))}")


def _described(table: Path) -> list[dict[str, str]]:
    if not table.is_file():
        return []
    with open(table, newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def _values(hashes: Sequence[str]) -> np.ndarray:
    return np.array([int(text, 16) for text in hashes], np.uint64)


def _near(hash_: str, others: np.ndarray) -> bool:
    return bool((np.bitwise_count(others ^ np.uint64(int(hash_, 16))) <= JUDGED_DISTANCE).any())
