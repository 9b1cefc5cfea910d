"""What every reader needs: listing images, pairing them by name, and saying why a path is not its format."""

import json
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from vilaco.errors import DataError
from vilaco.files import is_image, walk_images
from vilaco.tables import read_text


class NotThisFormat(DataError):
    """The path does not have a format's signature; another format may still fit.

    Readers raise it before they look at single images. Once the signature fits, a fault is a plain
    :class:`~vilaco.errors.DataError`, which ends the guessing: a manifest with a typo is a faulty manifest.
    """


def images_under(folder: Path, *, recursive: bool = True) -> list[Path]:
    """Image files below ``folder``, sorted by path: those that :func:`~vilaco.files.find_images` finds there.

    Args:
        folder: An existing folder.
        recursive: Whether to look into subfolders.
    """
    if recursive:
        return sorted(walk_images(folder))
    return sorted(path for path in folder.iterdir() if not path.is_dir() and is_image(path))


def subfolder(root: Path, *names: str) -> Path | None:
    """The subfolder of ``root`` that has one of ``names``, upper and lower case alike, or ``None``.

    Names are tried in the order given, so the author's own spelling goes first.
    """
    if not root.is_dir():
        return None
    present = {child.name.lower(): child for child in sorted(root.iterdir()) if child.is_dir()}
    return next((present[name.lower()] for name in names if name.lower() in present), None)


def require_folder(root: Path) -> None:
    """Raise :class:`NotThisFormat` unless ``root`` is a folder."""
    if not root.is_dir():
        raise NotThisFormat("is a file, and this layout is a folder")


def require_subfolder(root: Path, *names: str) -> Path:
    """:func:`subfolder`, but raising :class:`NotThisFormat` where there is none."""
    require_folder(root)
    folder = subfolder(root, *names)
    if folder is None:
        raise NotThisFormat(f"has no folder {' or '.join(f'{name}/' for name in names)}")
    return folder


def by_stem(paths: Iterable[Path]) -> dict[str, Path]:
    """Files by lower-case name without extension, for pairing by name.

    Raises:
        DataError: If two files share a stem, since a pair would then be a guess.

    Example:
        >>> by_stem([Path("gt/Tp_1_GT.png")])["tp_1_gt"].as_posix()
        'gt/Tp_1_GT.png'
    """
    found: dict[str, Path] = {}
    for path in paths:
        stem = path.stem.lower()
        if stem in found:
            raise DataError(f"{path}: same name as {found[stem]}, so an image cannot be paired with one of them.")
        found[stem] = path
    return found


def trailing_number(name: str) -> str | None:
    """The last run of digits in a name, by which several data sets pair their files.

    Example:
        >>> trailing_number("glide_inpainting_val2017_114871_up")
        '114871'
    """
    runs = re.findall(r"\d+", name)
    return runs[-1] if runs else None


def read_json(file: Path) -> Any:
    """Value of a ``.json`` file.

    Raises:
        NotThisFormat: If ``file`` is a folder or does not end in ``.json``.
        DataError: If it is not JSON, naming the line.
    """
    if file.is_dir() or file.suffix.lower() != ".json":
        raise NotThisFormat("is no .json file")
    try:
        return json.loads(read_text(file))
    except json.JSONDecodeError as error:
        raise DataError(f"{file}:{error.lineno}: not JSON ({error.msg} at column {error.colno}).") from error


def base_folder(file: Path, listed: str) -> Path:
    """Folder that the relative paths of a list start from.

    Lists of other projects are relative to wherever their training script ran. That is the list's own folder
    or one of the two above it in the layouts their authors publish; the first under which the first listed
    image exists is taken, and the list's own folder where it exists under none.

    Args:
        file: The list.
        listed: The first image it names.
    """
    folder = file.absolute().parent
    near = [folder, *folder.parents][:3]
    return next((base for base in near if (base / listed).exists()), file.parent)
