"""Is a data set what it claims to be? Everything is opened, counted and compared; nothing is left out."""

import hashlib
import os
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from vilaco.data.boxes import box_fault
from vilaco.data.formats import SPLIT_READERS, recognise
from vilaco.data.formats.layout import images_under
from vilaco.data.known_counts import KNOWN_COUNTS
from vilaco.data.records import AUTHENTIC, TAMPERED, Record
from vilaco.data.split import shared_groups
from vilaco.data.verify_report import (
    Fault,
    IdenticalFiles,
    MaskCounts,
    MaskSizePolicy,
    SharedScene,
    SplitReport,
    VerifyReport,
)
from vilaco.errors import DataError, ImageError
from vilaco.images import load_mask, load_photo, mask_is_binary
from vilaco.notes import Noted

MaskStatus = Literal["good", "unreadable", "size_differs", "all_zero", "contradicts_label"]


@dataclass(frozen=True, slots=True)
class DataSplit:
    """A data set, or one split of it, on its way into :func:`verify`.

    Attributes:
        name: What reports call it.
        records: Its images.
        format: Format it was read as, or ``""``; known counts go by it.
        root: Folder whose image files should all be in ``records``, or ``None``.
    """

    name: str
    records: Sequence[Record]
    format: str = ""
    root: Path | None = None


@dataclass(frozen=True, slots=True)
class _Looked:
    """What opening one record's files showed."""

    sha256: str | None
    image_fault: str | None
    notes: tuple[str, ...] = ()
    mask_status: MaskStatus | None = None
    mask_reason: str = ""
    not_binary: bool = False
    box_fault: str | None = None


def open_splits(paths: Sequence[Path], format: str | None = None) -> list[DataSplit]:
    """Read data sets for :func:`verify`, one split a path, or one for each split that a file names.

    Raises:
        DataError: As :func:`vilaco.data.formats.read_dataset`.
    """
    splits: list[DataSplit] = []
    for path in paths:
        name, records = recognise(path, format)
        if name in SPLIT_READERS:
            parts = SPLIT_READERS[name](path)
            splits += [DataSplit(f"{path}:{part}", rows, name) for part, rows in parts.items()]
        else:
            splits.append(DataSplit(str(path), records, name, path if path.is_dir() else None))
    return splits


def verify(
    splits: Sequence[DataSplit],
    *,
    mask_size_policy: MaskSizePolicy = "skip",
    progress: Callable[[], None] = lambda: None,
) -> VerifyReport:
    """Open every image and mask of one or several splits, and compare them with each other.

    Args:
        splits: Data sets or splits; names must differ. Scenes and files are compared between them.
        mask_size_policy: ``skip`` and ``resize`` decide what counts as pixel truth, ``fail`` stops at the
            first mask whose size differs.
        progress: Called once a record.

    Returns:
        The report; its counts add up as the classes say.

    Raises:
        DataError: If names repeat, or a mask's size differs under ``fail``.
    """
    names = [split.name for split in splits]
    if len(set(names)) < len(names):
        raise DataError(f"each data set must be named once, got {', '.join(names)}.")

    def look(record: Record) -> _Looked:
        looked = _look(record)
        if looked.mask_status == "size_differs" and mask_size_policy == "fail":
            raise DataError(f"{record.mask}: {looked.mask_reason}.")
        progress()
        return looked

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        looked = {split.name: list(pool.map(look, split.records)) for split in splits}
    shared = shared_groups({split.name: split.records for split in splits})
    return VerifyReport(
        mask_size_policy=mask_size_policy,
        splits=[_split_report(split, looked[split.name], mask_size_policy) for split in splits],
        shared_scenes=[SharedScene(scene=scene, splits=where) for scene, where in shared.items()],
        identical_files=_identical_files(splits, looked),
    )


def _look(record: Record) -> _Looked:
    try:
        data = record.path.read_bytes()
    except OSError as error:
        return _look_at_mask(record, None, _Looked(None, error.strerror or str(error)))
    sha256 = hashlib.sha256(data).hexdigest()
    try:
        photo = load_photo(data)
    except ImageError as error:
        return _look_at_mask(record, None, _Looked(sha256, error.reason))
    size = photo.upright_size
    looked = _Looked(sha256, None, photo.notes, box_fault=_box_fault(record, size))
    return _look_at_mask(record, size, looked)


def _box_fault(record: Record, size: tuple[int, int]) -> str | None:
    if record.boxes and record.label == AUTHENTIC:
        return "has boxes, but is labelled authentic"
    return box_fault(record.boxes, size)


def _look_at_mask(record: Record, size: tuple[int, int] | None, image: _Looked) -> _Looked:
    """Add the mask's status; ``size`` is the image's (height, width), ``None`` if it cannot be read."""

    def result(status: MaskStatus, reason: str = "", *, not_binary: bool = False) -> _Looked:
        return replace(image, mask_status=status, mask_reason=reason, not_binary=not_binary)

    if record.mask is None:
        return image
    try:
        mask = load_mask(record.mask, record.mask_rule)
        blurred = not mask_is_binary(record.mask, record.mask_rule)
    except ImageError as error:
        return result("unreadable", error.reason)
    if mask.shape != size:
        wanted = f"{size[1]}x{size[0]}" if size else "not readable"
        reason = f"mask is {mask.shape[1]}x{mask.shape[0]} pixels, its image is {wanted}"
        return result("size_differs", reason, not_binary=blurred)
    if record.label == TAMPERED and not mask.any():
        return result("all_zero", "marks nothing, but the image is labelled tampered", not_binary=blurred)
    if record.label == AUTHENTIC and mask.any():
        reason = f"marks {mask.mean():.1%} of an image labelled authentic"
        return result("contradicts_label", reason, not_binary=blurred)
    return result("good", not_binary=blurred)


def _split_report(split: DataSplit, looked: Sequence[_Looked], policy: MaskSizePolicy) -> SplitReport:
    labels = Counter(record.label for record in split.records)
    unreadable = [
        Fault(file=str(record.path), reason=look.image_fault)
        for record, look in zip(split.records, looked, strict=True)
        if look.image_fault
    ]
    mask_faults = [
        Fault(file=str(record.mask), reason=look.mask_reason)
        for record, look in zip(split.records, looked, strict=True)
        if look.mask_reason
    ]
    return SplitReport(
        name=split.name,
        format=split.format,
        images=len(split.records),
        authentic=labels[AUTHENTIC],
        tampered=labels[TAMPERED],
        unlabelled=labels[None],
        readable=len(split.records) - len(unreadable),
        unreadable=unreadable,
        masks=_mask_counts(split.records, looked, policy),
        mask_faults=mask_faults,
        masks_not_binary=[
            str(record.mask) for record, look in zip(split.records, looked, strict=True) if look.not_binary
        ],
        boxed=sum(bool(record.boxes) for record in split.records),
        box_faults=[
            Fault(file=str(record.path), reason=look.box_fault)
            for record, look in zip(split.records, looked, strict=True)
            if look.box_fault
        ],
        scenes=len({record.group for record in split.records if record.group is not None}),
        without_scene=sum(record.group is None for record in split.records),
        files_not_used=_files_not_used(split),
        noted=Noted.among((record.path, look.notes) for record, look in zip(split.records, looked, strict=True)),
        known=list(KNOWN_COUNTS.get(split.format, ())),
    )


def _mask_counts(records: Sequence[Record], looked: Sequence[_Looked], policy: MaskSizePolicy) -> MaskCounts:
    pairs = list(zip(records, looked, strict=True))
    status = Counter(look.mask_status for look in looked)
    usable = {"good", "size_differs"} if policy == "resize" else {"good"}
    return MaskCounts(
        listed=sum(record.mask is not None for record in records),
        good=status["good"],
        unreadable=status["unreadable"],
        size_differs=status["size_differs"],
        all_zero=status["all_zero"],
        contradicts_label=status["contradicts_label"],
        not_binary=sum(look.not_binary for look in looked),
        tampered_without_mask=sum(r.label == TAMPERED and r.mask is None for r in records),
        pixel_truth=sum(
            r.label == TAMPERED and look.image_fault is None and look.mask_status in usable for r, look in pairs
        ),
    )


def _files_not_used(split: DataSplit) -> list[str]:
    if split.root is None:
        return []
    used = {path.resolve() for record in split.records for path in (record.path, record.mask) if path}
    return [str(path) for path in images_under(split.root) if path.resolve() not in used]


def _identical_files(splits: Sequence[DataSplit], looked: Mapping[str, Sequence[_Looked]]) -> list[IdenticalFiles]:
    places: defaultdict[str, list[tuple[Record, str]]] = defaultdict(list)
    for split in splits:
        for record, look in zip(split.records, looked[split.name], strict=True):
            if look.sha256:
                places[look.sha256].append((record, split.name))
    return [
        IdenticalFiles(
            sha256=sha256,
            files=[str(record.path) for record, _ in copies],
            labels=[record.label for record, _ in copies],
            splits=[name for _, name in copies],
            scenes=[record.group for record, _ in copies],
        )
        for sha256, copies in places.items()
        if len(copies) > 1
    ]
