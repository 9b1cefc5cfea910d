"""CoMoFoD, copy-move forgeries with and without post-processing (Tralic et al., ELMAR 2013).

::

    CoMoFoD_small/                        or, sorted into folders as some copies are
      001_O.png  the original               orig/001.png
      001_F.png  the forgery                forged/001.png
      001_B.png  its mask, black and white  mask/001.png
      001_M.png  its mask, coloured
      001_O_JC1.jpg, 001_F_IB3.png, ...  post-processed: JPEG, noise, blur, brightness, colour, contrast

Counts (small set): 200 originals and 200 forgeries, PNG 512x512; 5000 and 5000 more with post-processing (25
kinds). Use: research only.

Several numbers forge one and the same original (``020_O`` equals ``095_O``), so the number alone is not the
scene: the group is the first number whose original has the same bytes.

``_B`` is white on the pasted copy AND on its source, so about half of what it marks is untouched pixels; a
method that finds the copy alone cannot reach an F1 much above 0.67 here.
"""

import hashlib
import re
from collections.abc import Callable
from pathlib import Path

from vilaco.data.formats.layout import NotThisFormat, by_stem, images_under, require_folder, subfolder
from vilaco.data.records import AUTHENTIC, TAMPERED, Record

_NAME = re.compile(r"(?P<number>\d{3})_(?P<kind>[OF])(?:_[A-Z]{2}\d)?", re.IGNORECASE)


def read_comofod(root: Path) -> list[Record]:
    """Read the authors' flat folder, or ``orig/``, ``forged/`` and ``mask/``.

    Raises:
        NotThisFormat: If ``root`` is neither.
    """
    require_folder(root)
    originals, forged = subfolder(root, "orig"), subfolder(root, "forged")
    if originals and forged:
        return _read_sorted(originals, forged, subfolder(root, "mask"))
    return _read_flat(images_under(root, recursive=False))


def _read_flat(images: list[Path]) -> list[Record]:
    named = [(path, name) for path in images if (name := _NAME.fullmatch(path.stem))]
    if not any(name["kind"] in "Ff" for _, name in named):
        raise NotThisFormat("has neither images called like 001_F.png nor folders orig/ and forged/")
    stems = by_stem(path for path in images if re.fullmatch(r"\d{3}_[OB]", path.stem, re.IGNORECASE))
    group_of = _groups({stem[:3]: path for stem, path in stems.items() if stem.endswith("_o")})
    return [
        Record(path, AUTHENTIC, group=group_of(name["number"]))
        if name["kind"] in "Oo"
        else Record(path, TAMPERED, stems.get(f"{name['number']}_b"), group_of(name["number"]))
        for path, name in named
    ]


def _read_sorted(originals: Path, forged: Path, mask: Path | None) -> list[Record]:
    masks = by_stem(images_under(mask)) if mask else {}
    authentic = by_stem(images_under(originals))
    group_of = _groups(authentic)
    return [Record(path, AUTHENTIC, group=group_of(stem)) for stem, path in authentic.items()] + [
        Record(path, TAMPERED, masks.get(path.stem.lower()), group_of(path.stem)) for path in images_under(forged)
    ]


def _groups(originals: dict[str, Path]) -> Callable[[str], str]:
    """Group of a number: the first number with the same original, or itself where there is no original."""
    first: dict[str, str] = {}
    numbers = {
        number: first.setdefault(hashlib.sha256(path.read_bytes()).hexdigest(), number)
        for number, path in originals.items()
    }
    return lambda number: f"comofod-{numbers.get(number, number)}"
