"""Writing a data set as a list in another format; the list points to the files, nothing is copied.

A manifest holds everything a record knows. The other formats hold less, and which information a conversion
would lose is found out, counted and refused before anything is written, unless the caller allows it.
"""

import csv
import io
import json
import os
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from vilaco.data.boxes import format_boxes
from vilaco.data.formats import READERS
from vilaco.data.formats.manifest import COLUMNS
from vilaco.data.records import AUTHENTIC, TAMPERED, Record
from vilaco.errors import DataError
from vilaco.files import write_atomically
from vilaco.names import as_text


class ConvertReport(BaseModel):
    """What :func:`convert` wrote: ``images = written + left_out``.

    Attributes:
        file: The list.
        format: Its format.
        images: Images of the source.
        written: Images in the list.
        left_out: Images that the format cannot hold at all.
        losses: What was lost, with the number of images concerned.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    file: str
    format: str
    images: int
    written: int
    left_out: int
    losses: dict[str, int]


Splits = Mapping[str, Sequence[Record]]


@dataclass(frozen=True, slots=True)
class _Target:
    """A format that can be written: how, and what of a record it has room for."""

    render: Callable[[Splits, Path], str]
    suffixes: tuple[str, ...]
    groups: bool = False
    mask_rules: bool = False
    boxes: bool = False
    unlabelled: bool = False
    tampered_without_mask: bool = False
    authentic_with_mask: bool = False
    splits: bool = False
    repeats: bool = True
    commas: bool = True
    other_than_jpeg: bool = True


def convert(splits: Splits, file: Path, format: str, *, allow_loss: bool = False) -> ConvertReport:
    """Write records as a list of another format.

    Args:
        splits: Records by split, as :func:`vilaco.data.formats.read_splits` gives them; a split without a
            name becomes the subset ``train`` of a WSCL datalist.
        file: The list to write; paths in it are relative to its folder.
        format: A name of :data:`TARGETS`.
        allow_loss: Write what the format can hold instead of refusing. A mask that needs a rule of its own
            (black is tampered, or green) is left out where the format has no room for the rule, since it
            would be misread.

    Returns:
        What was written and what was lost.

    Raises:
        DataError: If the format cannot be written, the file's ending is not one of its own, or information
            would be lost and ``allow_loss`` is not set.
    """
    if format not in TARGETS:
        known = "can be read but is no list of files" if format in READERS else "is unknown"
        raise DataError(f"format '{format}' {known}; a list can be one of {', '.join(TARGETS)}.")
    target = TARGETS[format]
    if file.suffix.lower() not in target.suffixes:
        raise DataError(f"{file}: a list of format {format} ends in {' or '.join(target.suffixes)}.")
    losses: Counter[str] = Counter()
    listed: set[str] = set()

    def fit(record: Record) -> Record | None:
        path = _relative(record.path, file.parent)
        if path in listed and not target.repeats:
            losses["images listed before"] += 1
            return None
        listed.add(path)
        return _fit(record, target, losses)

    fitted = {name: [kept for record in records if (kept := fit(record))] for name, records in splits.items()}
    images = sum(map(len, splits.values()))
    written = sum(map(len, fitted.values()))
    if len(splits) > 1 and not target.splits:
        losses["split names"] = images
    if losses and not allow_loss:
        lost = ", ".join(f"{what} ({count} images)" for what, count in losses.items())
        instead = "" if format == "manifest" else ", or write a manifest"
        raise DataError(f"{file}: format {format} has no room for {lost}; allow the loss{instead}.")
    if not written:
        raise DataError(f"{file}: format {format} can hold none of the {images} images.")
    write_atomically(file, target.render(fitted, file).encode())
    return ConvertReport(
        file=as_text(file),
        format=format,
        images=images,
        written=written,
        left_out=images - written,
        losses=dict(losses),
    )


def _fit(record: Record, target: _Target, losses: Counter[str]) -> Record | None:
    """The part of a record that the format holds, or ``None``; what is lost is counted."""
    if record.group is not None and not target.groups:
        losses["scene groups"] += 1
        record = replace(record, group=None)
    if record.boxes and not target.boxes:
        losses["boxes"] += 1
        record = replace(record, boxes=())
    if record.mask and record.mask_rule != "nonzero" and not target.mask_rules:
        losses[f"masks whose rule is '{record.mask_rule}'"] += 1
        record = replace(record, mask=None, mask_rule="nonzero")
    if record.label == AUTHENTIC and record.mask and not target.authentic_with_mask:
        losses["masks of authentic images"] += 1
        record = replace(record, mask=None)
    reason = _cannot_hold(record, target)
    if reason:
        losses[reason] += 1
        return None
    return record


def _cannot_hold(record: Record, target: _Target) -> str | None:
    if record.label is None and not target.unlabelled:
        return "images without a label"
    if record.label == TAMPERED and record.mask is None and not target.tampered_without_mask:
        return "tampered images without a mask"
    if not target.commas and any("," in str(path) for path in (record.path, record.mask)):
        return "paths with a comma"
    if not target.other_than_jpeg and record.path.suffix.lower() not in (".jpg", ".jpeg"):
        return "images other than JPEG"
    return None


def _relative(path: Path | None, folder: Path) -> str:
    if path is None:
        return ""
    if path.is_relative_to(folder) and ".." not in path.parts:
        relative = path.relative_to(folder).as_posix()
    else:  # out of a symbolic link, ".." leads to its target's parent
        real = path.parent.resolve() / path.name
        relative = Path(os.path.relpath(real, folder.resolve())).as_posix()
    if as_text(relative) != relative:
        raise DataError(f"{path}: the name is not UTF-8, and a list is; rename the file or its folder.")
    return relative


def _rows(splits: Splits, folder: Path) -> list[tuple[str, Record, str]]:
    """``(image, record, mask or "None")`` of all splits, paths relative to ``folder``."""
    return [
        (_relative(record.path, folder), record, _relative(record.mask, folder) or "None")
        for records in splits.values()
        for record in records
    ]


def _manifest_values(record: Record, folder: Path) -> dict[str, str | int | None]:
    return {
        "path": _relative(record.path, folder),
        "label": record.label,
        "mask": _relative(record.mask, folder) or None,
        "group": record.group,
        "mask_rule": None if record.mask_rule == "nonzero" else record.mask_rule,
        "boxes": format_boxes(record.boxes) or None,
    }


def _render_manifest(splits: Splits, file: Path) -> str:
    rows = [_manifest_values(record, file.parent) for records in splits.values() for record in records]
    if file.suffix.lower() == ".jsonl":
        kept = [{k: v for k, v in row.items() if v is not None or k == "label"} for row in rows]
        return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in kept)
    used = [name for name in COLUMNS if name in COLUMNS[:2] or any(row[name] is not None for row in rows)]
    text = io.StringIO()
    writer = csv.DictWriter(text, used, extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def _render_benco_json(splits: Splits, file: Path) -> str:
    pairs = [
        [image, mask if record.label == TAMPERED else "Negative"] for image, record, mask in _rows(splits, file.parent)
    ]
    return json.dumps(pairs, indent=1, ensure_ascii=False) + "\n"


def _render_wscl(splits: Splits, file: Path) -> str:
    entries: dict[str, dict[str, str | int]] = {}
    for subset, records in splits.items():
        for image, record, mask in _rows({subset: records}, file.parent):
            entry: dict[str, str | int] = {
                "subset": subset or "train",
                "path": image,
                "label": int(record.label or 0),
            }
            entries[image] = entry | ({"mask": mask} if record.mask else {})
    return json.dumps(entries, indent=1, ensure_ascii=False) + "\n"


def _render_catnet(splits: Splits, file: Path) -> str:
    return "".join(f"{image},{mask},{image}\n" for image, _, mask in _rows(splits, file.parent))


def _render_trufor(splits: Splits, file: Path) -> str:
    return "".join(f"{image},{mask}\n" for image, _, mask in _rows(splits, file.parent))


def _render_mvss(splits: Splits, file: Path) -> str:
    rows = _rows(splits, file.parent)
    divider = "\t" if any(len(text.split()) > 1 for image, _, mask in rows for text in (image, mask)) else " "
    return "".join(
        image + "\n" if record.label is None else divider.join((image, mask, str(record.label))) + "\n"
        for image, record, mask in rows
    )


TARGETS: dict[str, _Target] = {
    "manifest": _Target(
        _render_manifest,
        (".csv", ".jsonl"),
        groups=True,
        mask_rules=True,
        boxes=True,
        unlabelled=True,
        tampered_without_mask=True,
        authentic_with_mask=True,
        repeats=False,
    ),
    "benco_json": _Target(_render_benco_json, (".json",)),
    "wscl": _Target(
        _render_wscl,
        (".json",),
        tampered_without_mask=True,
        authentic_with_mask=True,
        splits=True,
        repeats=False,
    ),
    "catnet": _Target(_render_catnet, (".csv", ".txt"), commas=False, other_than_jpeg=False),
    "trufor": _Target(_render_trufor, (".csv", ".txt"), commas=False),
    "mvss": _Target(_render_mvss, (".txt",), unlabelled=True, tampered_without_mask=True, authentic_with_mask=True),
}
"""Formats that :func:`convert` writes, by name."""
