"""Splitting a data set so that no scene is on two sides.

A tampered image and the authentic one it was made from share their background; with one in training and the
other in the test, the score says how well scenes were memorised. So whole groups are dealt out, and labels
are balanced as well as the groups allow.
"""

from collections import Counter, defaultdict
from collections.abc import Hashable, Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np

from vilaco.data.records import Record
from vilaco.errors import DataError

_PART_FILES = ("kept.csv", "held_out.csv", "fold_*.csv", "part_*.csv")


def group_key(record: Record) -> Hashable:
    """The record's group, or its own file where the scene is unknown.

    Example:
        >>> from pathlib import Path
        >>> group_key(Record(Path("a.jpg"), 0, group="beach"))
        'beach'
    """
    return record.group if record.group is not None else ("file", str(record.path))


def grouped_split(records: Sequence[Record], *, fraction: float, seed: int) -> tuple[list[Record], list[Record]]:
    """Hold out about ``fraction`` of the records, whole groups at a time.

    Args:
        records: The data set; groups of different data sets must have different names.
        fraction: Share to hold out, in (0, 1), aimed at for each label.
        seed: Same seed, same records: same split, whatever the order of ``records``.

    Returns:
        The kept and the held-out records, each in the order given.

    Raises:
        DataError: If ``fraction`` is outside (0, 1), or the groups are so few or so large that one side would
            be empty.
    """
    if not 0.0 < fraction < 1.0:
        raise DataError(f"fraction must be in (0, 1), got {fraction}.")
    kept, held_out = _deal(records, shares=[1.0 - fraction, fraction], seed=seed)
    return kept, held_out


def grouped_folds(records: Sequence[Record], k: int, seed: int) -> list[list[Record]]:
    """Deal the records into ``k`` folds of about the same size and mix of labels, whole groups at a time.

    Args:
        records: The data set.
        k: Number of folds, at least 2.
        seed: Same seed, same records: same folds, whatever the order of ``records``.

    Returns:
        ``k`` lists that together hold every record once, each in the order given.

    Raises:
        DataError: If ``k`` is below 2 or above the number of groups.

    Example:
        >>> from pathlib import Path
        >>> shots = [Record(Path(f"{scene}{n}.jpg"), n, group=scene) for scene in "abcd" for n in (0, 1)]
        >>> [len(fold) for fold in grouped_folds(shots, 2, seed=0)]
        [4, 4]
    """
    if k < 2:
        raise DataError(f"folds must be at least 2, got {k}.")
    return _deal(records, shares=[1.0 / k] * k, seed=seed)


def check_split(parts: Mapping[str, Sequence[Record]]) -> None:
    """Refuse a split that crosses a scene.

    Args:
        parts: Records by the name of their part, e.g. ``{"train": ..., "test": ...}``.

    Raises:
        DataError: Naming the first shared scene, its parts, and how many scenes are shared in all.
    """
    shared = shared_groups(parts)
    if shared:
        scene, names = next(iter(shared.items()))
        raise DataError(
            f"scene '{scene}' is in {' and '.join(names)} ({len(shared)} scenes are shared in all); "
            "a scene must stay on one side of a split."
        )


def part_files(parts: Iterable[str], folder: Path, sources: Iterable[Path]) -> dict[str, Path]:
    """Where the parts of a split are written, if nothing is lost or mixed by that.

    The same split may be dealt again into its folder; what an earlier one left there would be taken for a part of
    this one.

    Args:
        parts: Their names.
        folder: Of all of them.
        sources: What is split.

    Returns:
        A manifest a part.

    Raises:
        DataError: If a source would be overwritten, or parts of another split lie in the folder.

    Example:
        >>> part_files(["kept", "held_out"], Path("split"), [Path("casia1.csv")])["kept"].as_posix()
        'split/kept.csv'
    """
    files = {name: folder / f"{name}.csv" for name in parts}
    ours = {file.resolve() for file in files.values()}
    for source in sources:
        if source.resolve() in ours:
            raise DataError(f"{source}: is what is split, and a part would overwrite it; give another folder")
    others = sorted(file for pattern in _PART_FILES for file in folder.glob(pattern) if file.resolve() not in ours)
    if others:
        raise DataError(f"{others[0]}: is a part of another split; remove its parts or give another folder")
    return files


def shared_groups(parts: Mapping[str, Sequence[Record]]) -> dict[str, list[str]]:
    """Groups that occur in more than one part, with the names of these parts, sorted by group.

    An image without a group stands for itself, by the full path of its file.

    Example:
        >>> from pathlib import Path
        >>> first, second = Record(Path("a.jpg"), 0, group="x"), Record(Path("b.jpg"), 1, group="x")
        >>> shared_groups({"train": [first], "test": [second]})
        {'x': ['train', 'test']}
    """
    places: defaultdict[str, list[str]] = defaultdict(list)
    for name, records in parts.items():
        for group in {record.group or str(record.path.resolve()) for record in records}:
            places[group].append(name)
    return {group: places[group] for group in sorted(places) if len(places[group]) > 1}


def _deal(records: Sequence[Record], *, shares: list[float], seed: int) -> list[list[Record]]:
    """Deal groups, largest first, each to the part where it costs least.

    The cost of a part is the chi-square of its label counts, ``sum((count - target)**2 / target)``. Large
    groups go first because small ones can even out what they leave; groups of one size are shuffled by the
    seed.
    """
    labels = sorted({record.label for record in records}, key=str)
    sizes: defaultdict[Hashable, Counter[int | None]] = defaultdict(Counter)
    for record in records:
        sizes[group_key(record)][record.label] += 1
    if len(sizes) < len(shares):
        raise DataError(f"{len(sizes)} scenes cannot be dealt into {len(shares)} parts; each part needs one at least.")
    groups = sorted(sizes, key=str)
    np.random.default_rng(seed).shuffle(groups)
    groups.sort(key=lambda group: -sizes[group].total())

    counts = np.array([[sizes[group][label] for label in labels] for group in groups], dtype=float)  # (groups, labels)
    targets = np.outer(shares, counts.sum(axis=0))  # (parts, labels)
    filled = np.zeros_like(targets)
    part_of: dict[Hashable, int] = {}
    for group, count in zip(groups, counts, strict=True):
        cost = ((2.0 * (filled - targets) + count) * count / targets).sum(axis=1)  # rise of each part's chi-square
        part = int(np.lexsort((filled.sum(axis=1) / shares, cost.round(9)))[0])
        filled[part] += count
        part_of[group] = part

    parts: list[list[Record]] = [[] for _ in shares]
    for record in records:
        parts[part_of[group_key(record)]].append(record)
    if not all(parts):
        largest = groups[0]
        raise DataError(
            f"no split leaves images on each side: the largest scene alone has {sizes[largest].total()} "
            f"of the {len(records)} images."
        )
    return parts
