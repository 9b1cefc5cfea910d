"""Finding image files, naming results after them, and writing files whole or not at all."""

import glob
import hashlib
import os
import secrets
import stat
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import count
from pathlib import Path

from vilaco.errors import DataError, VilacoError
from vilaco.names import as_text, is_url
from vilaco.signatures import PREFIX, looks_like_photo

IMAGE_SUFFIXES = frozenset(
    {".avif", ".bmp", ".gif", ".heic", ".heif", ".jfif", ".jpe", ".jpeg", ".jpg", ".mpo", ".png", ".webp"}
    | {".tif", ".tiff"}
)
"""Lower-case endings that mark a file as an image when a folder or a glob is searched; others are looked into."""


MAX_BYTES = 1 << 30
"""Largest file that is read whole: an uncompressed 16-bit RGBA picture of 100 megapixels has 800 MB."""
RESULT_ENDINGS = (".mask.png", ".map.png", ".overlay.jpg")
"""What the names of a photo's results end in, after their `result_stem`."""
STANDARD_INPUT = "<stdin>"
"""What a photo from standard input is called."""
_LONGEST_STEM = 255 - max(map(len, RESULT_ENDINGS)) - len(".page10000")  # bytes; file systems hold 255
TEMPORARY = ".*.tmp"
"""Pattern of the names under which `write_atomically` writes; only a killed process leaves such a file."""


@dataclass(frozen=True, slots=True)
class FoundImage:
    """One image to read and where its results belong.

    Attributes:
        path: The file, as reachable from the working directory.
        relative: The path inside the folder (or below the fixed part of the glob) that was given; for a file
            given by itself, its name. Results mirror it.
        data: Its bytes, where it came without a file; ``path`` is then what to call it.
    """

    path: Path
    relative: Path
    data: bytes | None = None

    @property
    def source(self) -> Path | bytes:
        """What to read it from."""
        return self.path if self.data is None else self.data


def find_images(paths: Sequence[str | Path]) -> list[FoundImage]:
    """List the images that files, folders and globs stand for.

    A file given by name is taken whatever its ending, so that reading it can say what is wrong. Folders are
    searched to the bottom for images as `is_image` tells them; hidden files and folders are left out, and a
    folder reached twice (a symbolic link to itself or to a sibling) is searched once. Globs
    follow the shell, with ``**`` for any depth; a path that exists is never read as a glob.

    Args:
        paths: Files, folders and globs in any mixture.

    Returns:
        The images in the order of ``paths``, each folder's and each glob's share sorted by path. A file
        that is reached twice is listed once, where it came first.

    Raises:
        DataError: If a path is empty or does not exist, a folder holds no image or a glob matches none.
    """
    found: dict[str, FoundImage] = {}
    for given in paths:
        for image in _expand(given):
            found.setdefault(os.path.abspath(image.path), image)
    return list(found.values())


def walk_images(folder: Path, seen: set[tuple[int, int]] | None = None) -> Iterator[Path]:
    """Image files below a folder, as `find_images` searches it: hidden ones left out, linked folders searched once.

    Args:
        folder: An existing folder.
        seen: (device, inode) of the folders already searched, to which those searched here are added.

    Raises:
        DataError: If a folder cannot be listed.
    """
    seen = set() if seen is None else seen
    status = folder.stat()
    if (status.st_dev, status.st_ino) in seen:
        return
    seen.add((status.st_dev, status.st_ino))
    try:
        entries = sorted(folder.iterdir())
    except OSError as error:
        raise DataError(f"{folder}: cannot be listed ({error.strerror})") from error
    for entry in entries:
        if entry.name.startswith("."):
            continue
        if os.path.isdir(entry):
            yield from walk_images(entry, seen)
        elif is_image(entry):
            yield entry


def is_image(path: Path) -> bool:
    """Whether a file counts as an image when a folder is searched: by its ending or its first bytes, and if not hidden.

    What is named like an image is taken unseen, so that reading it can say what is wrong.
    """
    if path.name.startswith("."):
        return False
    return path.suffix.lower() in IMAGE_SUFFIXES or _starts_like_photo(path)


def _starts_like_photo(path: Path) -> bool:
    try:
        if not stat.S_ISREG(os.stat(path).st_mode):
            return False
        with open(path, "rb") as file:
            return looks_like_photo(file.read(PREFIX))
    except OSError:
        return False


def read_standard_input() -> FoundImage:
    """One photo, from standard input to its end.

    Raises:
        DataError: If it cannot be read, or is larger than `MAX_BYTES`.
    """
    if sys.stdin is None:
        raise DataError(f"{STANDARD_INPUT}: is closed")
    try:
        data = sys.stdin.buffer.read(MAX_BYTES + 1)
    except OSError as error:
        raise DataError(f"{STANDARD_INPUT}: cannot be read ({error.strerror or error})") from error
    if len(data) > MAX_BYTES:
        raise DataError(f"{STANDARD_INPUT}: is larger than {MAX_BYTES:,} bytes")
    return FoundImage(Path(STANDARD_INPUT), Path(STANDARD_INPUT.strip("<>")), data)


def without_results(images: Sequence[FoundImage], folder: Path) -> list[FoundImage]:
    """Images without the masks, maps and overlays that an earlier run left in the folder of the results.

    Raises:
        DataError: If nothing else was given.
    """
    home = folder.resolve()
    kept = [
        image
        for image in images
        if not (image.path.name.endswith(RESULT_ENDINGS) and image.path.resolve().is_relative_to(home))
    ]
    if images and not kept:
        raise DataError(f"{folder}: holds what was given, and that is only masks, maps and overlays of an earlier run")
    return kept


def result_stem(relative: Path) -> Path:
    """Name that the results of an image share: its relative path without the extension.

    A name of which only dots would be left keeps its extension, for they mean folders; one too long for an ending to be
    added is cut, and made its own again by a digest.

    Example:
        >>> result_stem(Path("holiday/beach.v2.jpg")).as_posix()
        'holiday/beach.v2'
    """
    return _cut(relative.with_name(relative.stem if relative.stem.strip(".") else relative.name))


def _cut(relative: Path, ending: str = "") -> Path:
    """A path whose last name has an ending added and is short enough for those of results."""
    encoded = os.fsencode(relative.name)
    longest = _LONGEST_STEM - len(ending)
    if len(encoded) <= longest:
        return relative.with_name(relative.name + ending)
    digest = hashlib.sha256(encoded).hexdigest()[:16]
    return relative.with_name(f"{encoded[: longest - 17].decode('utf-8', 'ignore')}-{digest}{ending}")


def name_results(images: Sequence[FoundImage], kept: Mapping[str, str]) -> list[Path]:
    """Names of the results of images, no two alike: `result_stem`, with the extension where that alone would clash.

    What clashes all the same, such as two files of one name from different folders, is numbered. Names that differ in
    upper and lower case alone clash, too: many systems take them for one.

    Args:
        images: All that a run writes results of.
        kept: Names of the results that lie in the folder already, by the path of their image: a path keeps its name,
            and nobody else gets it.

    Example:
        >>> images = [FoundImage(Path(name), Path(name)) for name in ("a.jpg", "a.png", "b.jpg", "c/b.jpg")]
        >>> [name.as_posix() for name in name_results(images, {})]
        ['a.jpg', 'a.png', 'b', 'c/b']
    """
    shared = Counter(_folded(result_stem(image.relative)) for image in images)
    taken = {_folded(Path(name)): path for path, name in kept.items()}
    names = []
    for image in images:
        path, stem, whole = as_text(image.path), result_stem(image.relative), _cut(image.relative)
        numbered = (_cut(image.relative, f"-{number}") for number in count(2))
        wanted = [Path(kept[path])] if path in kept else []
        wanted += [stem] if shared[_folded(stem)] == 1 else []
        candidates = (name for group in (wanted, [whole], numbered) for name in group)
        names.append(next(name for name in candidates if taken.setdefault(_folded(name), path) == path))
    return names


def _folded(name: Path) -> str:
    return name.as_posix().casefold()


def refuse_unwritable(folder: Path) -> None:
    """Refuse a folder that can take no results, before the work is done that makes them; nothing is made.

    Raises:
        VilacoError: If ``folder`` is something else, or it or the folder that it is to be made in cannot be written.
    """
    nearest = next(place for place in (folder.absolute(), *folder.absolute().parents) if os.path.lexists(place))
    if not os.path.isdir(nearest):
        raise VilacoError(f"{folder}: cannot be written ({nearest} is not a folder)")
    if not os.access(nearest, os.W_OK | os.X_OK):
        raise VilacoError(f"{folder}: cannot be written (no right to write in {nearest})")


def refuse_filled(folder: Path) -> None:
    """Refuse a folder in which something else lies, or that cannot be written.

    Raises:
        DataError: If ``folder`` is not a new or an empty folder.
        VilacoError: As `refuse_unwritable`.
    """
    refuse_unwritable(folder)
    if folder.exists() and any(folder.iterdir()):
        raise DataError(f"{folder}: exists and is not an empty folder; a model is not mixed with other files")


def write_atomically(path: Path, data: bytes) -> None:
    """Write a file so that at any moment, even after a power cut, it is the old one or the new one, whole.

    The bytes go to a temporary file beside the target, reach the disk, and take the target's name at once.

    Args:
        path: The target; missing parent folders are made.
        data: The whole content.

    Raises:
        VilacoError: If the folder or the file cannot be written.
    """
    path = Path(path)
    temporary = path.parent / f".{secrets.token_hex(8)}.tmp"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with open(temporary, "xb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
        _sync_folder(path.parent)
    except OSError as error:
        raise VilacoError(f"{path}: cannot be written ({error.strerror or error})") from error


def _sync_folder(folder: Path) -> None:
    """Make a rename inside ``folder`` survive a power cut (Windows has no such step)."""
    if os.name == "nt":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _expand(given: str | Path) -> list[FoundImage]:
    if not os.fspath(given):
        raise DataError("an empty path names no file or folder")
    path = Path(given)
    if os.path.isdir(path):
        images = [FoundImage(file, file.relative_to(path)) for file in walk_images(path)]
        nothing = "the folder holds no image"
    elif os.path.lexists(path):
        return [FoundImage(path, Path(path.name))]
    elif glob.has_magic(str(given)):
        images = list(_expand_glob(str(given)))
        nothing = "the pattern matches no image"
    elif is_url(given):
        raise DataError(f"{given}: nothing is fetched; save the picture first, or: curl -s {given} | vilaco detect -")
    else:
        raise DataError(f"{given}: no such file or folder")
    if not images:
        raise DataError(f"{given}: {nothing} (looked for {', '.join(sorted(IMAGE_SUFFIXES))}, and into other files)")
    return sorted(images, key=lambda image: image.relative.parts)


def _expand_glob(pattern: str) -> Iterator[FoundImage]:
    fixed = Path(*_until_magic(Path(pattern).parts))
    seen: set[tuple[int, int]] = set()
    for match in map(Path, sorted(glob.glob(pattern, recursive=True))):
        files = walk_images(match, seen) if os.path.isdir(match) else [match] if is_image(match) else []
        for file in files:
            yield FoundImage(file, file.relative_to(fixed))


def _until_magic(parts: tuple[str, ...]) -> Iterator[str]:
    for part in parts:
        if glob.has_magic(part):
            return
        yield part
