"""What a scan looks at: the images of a folder, of a manifest, or behind a URL."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote, unquote_to_bytes

from vilaco.decoding import open_source
from vilaco.errors import ConfigError, DataError, ImageError
from vilaco.files import IMAGE_SUFFIXES, find_images
from vilaco.names import as_text
from vilaco.signatures import PREFIX, looks_like_photo
from vilaco.tables import NAMES, SUFFIXES, below, read_table, roles, row_dicts


class Item(NamedTuple):
    """One image to look at.

    Attributes:
        path: What the scan calls its file, unique in a scan: the path inside the folder or below the URL, or the
            manifest's own words; as text (see :func:`vilaco.names.as_text`).
        location: Where its bytes are: a URL, or a file's path, percent-encoded because it need not be UTF-8.
        page: Which picture of the file, from 1; the one that the file opens with if ``None``.
    """

    path: str
    location: str
    page: int | None = None


def list_items(source: str) -> list[Item]:
    """List the images of a source.

    Args:
        source: A folder, searched as :func:`vilaco.files.find_images` does; a CSV manifest with a column of paths,
            whose entries are URLs or paths from the manifest's folder, each read once; or the URL of a folder, in any
            file system that fsspec knows.

    Returns:
        The images in a fixed order.

    Raises:
        DataError: If the source does not exist, holds no image, or has two images of one name.
        ConfigError: If a package for this kind of URL is missing.
    """
    if is_url(source):
        found = _list_url(source)
    elif os.path.isdir(source):
        images = find_images([source])
        found = (Item(as_text(image.relative.as_posix()), _file_location(image.path)) for image in images)
    elif Path(source).suffix.lower() in SUFFIXES:
        found = _list_manifest(Path(source))
    elif not os.path.lexists(source):
        raise DataError(f"{source}: no such file or folder")
    else:
        raise DataError(f"{source}: give a folder, a manifest ending in .csv or .tsv, or a URL")
    items: dict[str, Item] = {}
    for item in found:
        if items.setdefault(item.path, item).location != item.location:
            raise DataError(f"{source}: two files would both be called {item.path}; rename one")
    if not items:
        raise DataError(f"{source}: holds no image (looked for {', '.join(sorted(IMAGE_SUFFIXES))})")
    return list(items.values())


def is_url(source: str) -> bool:
    """Whether fsspec is to open it: ``s3://…``, ``zip://*::https://…``, ``file:///…``."""
    return "://" in source


def local_folder(source: str) -> Path | None:
    """The folder of this machine that a source is, be it named by a path or by a URL; ``None`` for any other source.

    Raises:
        DataError: If the URL cannot be opened.
        ConfigError: If a package for this kind of URL is missing.
    """
    if is_url(source):
        from fsspec.implementations.local import LocalFileSystem

        system, source = _open_url(source)
        if not isinstance(system, LocalFileSystem):
            return None
    return Path(source) if os.path.isdir(source) else None


def read_bytes(item: Item, *, max_bytes: int) -> bytes:
    """Read an image's file.

    Args:
        item: Which.
        max_bytes: A larger file is refused, and no more than this is held in memory.

    Raises:
        ImageError: ``not_found``, ``not_a_file``, ``unreadable``, ``empty`` or ``too_large``.
    """
    if is_url(item.location):
        data = _read_url(item, max_bytes)
    else:
        stream, _ = open_source(os.fsdecode(unquote_to_bytes(item.location)))
        try:
            with stream:
                data = stream.read(max_bytes + 1)
        except OSError as error:
            raise ImageError(item.path, f"cannot be read ({error.strerror or error})", code="unreadable") from error
    if len(data) > max_bytes:
        raise ImageError(item.path, f"the file is larger than {max_bytes:,} bytes", code="too_large")
    if not data:
        raise ImageError(item.path, "the file is empty", code="empty")
    return data


def file_item(path: Path, name: str) -> Item:
    """One file, by another name."""
    return Item(name, _file_location(path))


def _file_location(path: Path) -> str:
    return quote(os.fsencode(path))  # without a colon, so that no file is taken for a URL


def _list_manifest(file: Path) -> Iterator[Item]:
    table = read_table(file)
    try:
        column = roles(table.columns).get("path")
    except DataError as error:
        raise DataError(f"{file}: {error}") from None
    if column is None:
        has = ", ".join(table.columns) or "nothing"
        raise DataError(f"{file}: has no column for the path; it has {has}; understood are {', '.join(NAMES['path'])}")
    for _, row in row_dicts(table):
        if path := row[column].strip():
            yield Item(path, path if is_url(path) else _file_location(below(file.parent, path)))


def _list_url(source: str) -> Iterator[Item]:
    system, root = _open_url(source)
    protocol, _, _ = source.partition("://")
    _, chain, archive = source.partition("::")
    try:
        paths = sorted(system.find(root))
    except Exception as error:  # every file system has errors of its own
        raise DataError(f"{source}: cannot be listed ({_reason(error)})") from error
    for path in paths:
        relative = path.removeprefix(root).lstrip("/")
        hidden = any(part.startswith(".") for part in relative.split("/"))
        if not hidden and (Path(path).suffix.lower() in IMAGE_SUFFIXES or _starts_like_photo(system, path)):
            yield Item(as_text(relative), path if "://" in path else f"{protocol}://{path}{chain}{archive}")


def _starts_like_photo(system: Any, path: str) -> bool:
    try:
        with system.open(path, "rb") as stream:
            return looks_like_photo(stream.read(PREFIX))
    except Exception:  # every file system has errors of its own
        return False


def _read_url(item: Item, max_bytes: int) -> bytes:
    try:
        system, path = _open_url(item.location)
        with system.open(path, "rb") as stream:
            data: bytes = stream.read(max_bytes + 1)
            return data
    except (FileNotFoundError, KeyError) as error:  # KeyError: how archives say it
        raise ImageError(item.path, "no such file", code="not_found") from error
    except Exception as error:
        raise ImageError(item.path, f"cannot be read ({_reason(error)})", code="unreadable") from error


def _open_url(url: str) -> tuple[Any, str]:
    from fsspec.core import url_to_fs

    try:
        system, path = url_to_fs(url)
    except ImportError as error:
        raise ConfigError(f"{url}: {_reason(error)}") from error
    except Exception as error:
        raise DataError(f"{url}: cannot be opened ({_reason(error)})") from error
    return system, path


def _reason(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__
