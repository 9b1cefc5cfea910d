"""Predictions that any other method has saved, judged on the same path as our own.

One file an image, a map or a mask:

- PNG, 8 or 16 bits a channel, grey (or colour with equal channels): 0 authentic, 255 or 65535 tampered;
- NPY: an ``(H, W)`` array, bool, uint8, uint16 or float in [0, 1] (integers as in a PNG);
- NPZ: such an array named ``map`` (or ``localization_map``, or the only one), and perhaps a scalar ``score``
  (or ``detection_score``) for the image.

An 8-bit file of 0 and 1 alone is refused: far more often than a map that never exceeds 1/255 it is a mask on
another scale.

Files pair with images by relative path without the extension, then by the stem alone where only one image and
one folder of predictions have it. The names of ``vilaco detect`` (``photo.map.png`` before
``photo.mask.png``; the longest ones cut) and of tools that append (``photo.jpg.npz``) are understood.
"""

import json
import os
import zipfile
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from vilaco.errors import DataError, ImageError
from vilaco.evaluation.prediction import Prediction
from vilaco.files import IMAGE_SUFFIXES, result_stem
from vilaco.images import Photo
from vilaco.names import as_text
from vilaco.tables import read_text

SUFFIXES = (".npz", ".npy", ".png")
_MARKS = (".map", ".mask")
_NPY_START, _ZIP_START = b"\x93NUMPY", b"PK"
_MAP_NAMES, _SCORE_NAMES = ("map", "localization_map"), ("score", "detection_score")


class SavedPredictions:
    """A :class:`~vilaco.evaluation.prediction.Predictor` that looks its answers up in a folder.

    The detection score is the file's own, else the one ``results.jsonl`` of the folder gives for the image
    (as ``vilaco detect`` writes), else the largest value of the map, as MVSS-Net does it.

    Args:
        folder: Where the predictions lie.
        images: All image files of the data set; they tell whether a stem is unique.
        root: The folder that the images' relative paths start from.
        name: What tables call the method; the folder's name unless given.

    Raises:
        DataError: If the folder does not exist or holds no prediction, or ``results.jsonl`` cannot be read.
    """

    def __init__(self, folder: Path, images: Sequence[Path], root: Path, *, name: str | None = None) -> None:
        if not folder.is_dir():
            raise DataError(f"{folder}: no such folder of predictions")
        self.name = name or folder.resolve().name
        self._folder, self._root = folder, root
        self._images_by_stem = Counter(self._relative(path).stem for path in images)
        self._images_by_path = Counter(self._relative(path).with_suffix("") for path in images)
        self._by_stem: dict[str, list[Path]] = defaultdict(list)
        for path in sorted(folder.rglob("*")):
            if path.suffix.lower() in SUFFIXES and not path.name.startswith("."):
                for stem in _stems(as_text(path.name)):
                    self._by_stem[stem].append(path.relative_to(folder))
        if not self._by_stem:
            raise DataError(f"{folder}: holds no prediction (looked for {', '.join(SUFFIXES)})")
        self._scores = _detection_scores(folder / "results.jsonl")
        self._asked: set[Path] = set()

    @property
    def image_score(self) -> str:
        """How images got their detection score, for the report."""
        rule = "saved score, else maximum of the map"
        return f"results.jsonl, else {rule}" if self._scores else rule

    @property
    def unused(self) -> list[Path]:
        """Files below the folder that no photo has asked for so far; a mask beside its map counts as used."""
        files = {path for paths in self._by_stem.values() for path in paths}
        return sorted(files - self._asked)

    def __call__(self, photo: Photo) -> Prediction:
        """Read the prediction of a photo.

        Raises:
            ImageError: ``prediction_missing``, ``prediction_ambiguous`` or ``prediction_unreadable``.
        """
        relative = self._relative(Path(photo.source))
        path = self._folder / self._find(relative)
        localization_map, score = read_prediction(path)
        if score is None:
            score = self._listed_score(relative)
        if score is None:
            score = float(localization_map.max())
        return Prediction(localization_map, score)

    def _relative(self, path: Path) -> Path:
        """The path below the root, as text: a photo's source is text, whatever bytes its name has."""
        return Path(os.path.relpath(as_text(path), as_text(self._root)))

    def _find(self, relative: Path) -> Path:
        named = [path for path in self._by_stem.get(relative.name, []) if path.parent == relative.parent]
        if not named and self._images_by_path[relative.with_suffix("")] > 1:
            reason = f"several images are named {relative.with_suffix('')}.*; name predictions {relative.name}.*"
            raise ImageError(relative, reason, code="prediction_ambiguous")
        same_stem = self._by_stem.get(relative.stem) or self._by_stem.get(result_stem(relative).name, [])
        found = named or [path for path in same_stem if path.parent == relative.parent]
        if not found and self._images_by_stem[relative.stem] == 1:
            found = same_stem
        if not found:
            reason = f"no prediction named {relative.with_suffix('')}.* ({', '.join(SUFFIXES)}) in {self._folder}"
            raise ImageError(relative, reason, code="prediction_missing")
        folders = sorted({path.parent.as_posix() for path in found})
        if len(folders) > 1:
            reason = f"predictions named {relative.stem} lie in several folders: {', '.join(folders)}"
            raise ImageError(relative, reason, code="prediction_ambiguous")
        self._asked.update(found)
        return min(found, key=_preference)

    def _listed_score(self, relative: Path) -> float | None:
        """The score whose path ends like the image's; ``vilaco detect`` lists paths as given to it."""
        ending = f"/{relative.as_posix()}"
        matches = {score for path, score in self._scores[relative.name] if f"/{path}".endswith(ending)}
        if len(matches) > 1:
            raise ImageError(relative, "results.jsonl gives it several scores", code="prediction_ambiguous")
        return matches.pop() if matches else None


def read_prediction(path: Path) -> tuple[NDArray[np.float32], float | None]:
    """Read one saved map or mask.

    Returns:
        The map, ``(H, W)`` float32 in [0, 1], and the detection score where the file has one.

    Raises:
        ImageError: ``prediction_unreadable``, naming the file and what is wrong with it.
    """
    try:
        if path.suffix.lower() == ".png":
            return _to_map(_read_png(path)), None
        with path.open("rb") as file:
            start = file.read(len(_NPY_START))
        if not start.startswith((_NPY_START, _ZIP_START)):
            raise ValueError("is neither an NPY nor an NPZ file")  # numpy would take it for a pickle, and say so
        loaded = np.load(path, allow_pickle=False)
        if isinstance(loaded, np.ndarray):
            return _to_map(loaded), None
        with loaded:
            return _from_npz(dict(loaded))
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise ImageError(path, str(error), code="prediction_unreadable") from error


def _read_png(path: Path) -> NDArray:
    pixels = cv2.imdecode(np.frombuffer(path.read_bytes() or b"\0", np.uint8), cv2.IMREAD_UNCHANGED)
    if pixels is None:
        raise ValueError("not a readable PNG")
    if pixels.ndim == 3:
        if not np.all(pixels[..., :3] == pixels[..., :1]):
            raise ValueError("a colour picture; a map has one channel, or equal ones")
        pixels = pixels[..., 0]
    return pixels


def _from_npz(arrays: dict[str, NDArray]) -> tuple[NDArray[np.float32], float | None]:
    score = next((arrays.pop(name) for name in _SCORE_NAMES if name in arrays), None)
    name = next((name for name in _MAP_NAMES if name in arrays), None)
    if name is None and len(arrays) != 1:
        raise ValueError(f"no array named {' or '.join(_MAP_NAMES)} among {sorted(arrays)}")
    chosen = _to_map(arrays[name] if name else next(iter(arrays.values())))
    if score is None:
        return chosen, None
    if score.size != 1 or not 0 <= float(score.reshape(())) <= 1:
        raise ValueError("the saved score must be one number in [0, 1]")
    return chosen, float(score.reshape(()))


def _to_map(array: NDArray) -> NDArray[np.float32]:
    array = np.squeeze(array)
    if array.ndim != 2 or array.size == 0:
        raise ValueError(f"must be a map (H, W), got shape {array.shape}")
    if array.dtype == np.bool_:
        return array.astype(np.float32)
    if array.dtype == np.uint8 and array.max() == 1:
        raise ValueError(
            "8-bit values of 0 and 1 alone; save a mask as 0 and 255 or as bool, a map in 0 to 255 or floats"
        )
    if array.dtype in (np.uint8, np.uint16):
        return array.astype(np.float32) / np.float32(np.iinfo(array.dtype).max)
    if not np.issubdtype(array.dtype, np.floating):
        raise ValueError(f"values must be bool, uint8, uint16 or float in [0, 1], got {array.dtype}")
    low, high = float(array.min()), float(array.max())
    if not (low >= 0 and high <= 1):
        raise ValueError(f"floats must lie in [0, 1] without NaN, got {low:g} to {high:g}")
    return array.astype(np.float32)


def _detection_scores(path: Path) -> dict[str, list[tuple[str, float]]]:
    """Image paths and detection scores of a ``results.jsonl``, by file name."""
    scores: dict[str, list[tuple[str, float]]] = defaultdict(list)
    text = read_text(path) if path.exists() else ""
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        try:
            entry = json.loads(line)
            if "detection_score" in entry:
                image = Path(entry["path"])
                score = float(entry["detection_score"])
                if not 0 <= score <= 1:
                    raise ValueError(score)
                scores[image.name].append((image.as_posix(), score))
        except (ValueError, KeyError, TypeError) as error:
            raise DataError(f"{path}, line {number}: not a result with path and detection_score in [0, 1]") from error
    return scores


def _stems(name: str) -> Iterator[str]:
    """The image stems a prediction's file name may stand for: ``a.jpg.npz`` is of ``a`` or ``a.jpg``."""
    stem = Path(name).stem
    yield stem
    for ending in (*_MARKS, *IMAGE_SUFFIXES):
        if stem.lower().endswith(ending):
            yield stem[: -len(ending)]


def _preference(path: Path) -> tuple[bool, int, Path]:
    """Maps before masks, then the suffixes in their order."""
    return ".mask" in path.suffixes, SUFFIXES.index(path.suffix.lower()), path
