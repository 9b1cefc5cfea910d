"""Text lists without a header line, as three families of training code publish them.

::

    MVSS-Net, MMFusion   ./CASIAv1/TP/CM/a.jpg ./CASIAv1/mask/CM/a_gt.png 1      (spaces or tabs)
                         ./CASIAv1/Au/b.jpg None 0
                         c.jpg                                                   (one column: unlabelled)
    CAT-Net              Tp/a.tif,Groundtruth/a_gt.png,jpg/a.jpg                 (image, mask, JPEG version)
                         Au/b.jpg,None,Au/b.jpg
    TruFor               fake/a.png,mask/a_mask.png                              (image, mask)

Sources: Chen et al., ICCV 2021 (github.com/dong03/MVSS-Net); Triaridis and Mezaris, MMM 2024; Kwon et al.,
IJCV 2022 (github.com/mjkwon2021/CAT-Net); Guillaro et al., CVPR 2023 (github.com/grip-unina/TruFor).

A mask of ``None`` means authentic in the comma lists. Labels of the space lists are 0 authentic, 1 and 2
tampered (2 where a list tells a second kind of forgery apart). Mask pixels above zero are tampered, whatever
set the list came from: DSO-1 and NIST16 masks need their own reader. CAT-Net's third column is its own
re-save of non-JPEG images; the first column is the image. Its IMD2020 lists have a fourth column, the
original, third in the line. Scenes are unknown. A header line ``img,mask[,jpeg]`` is accepted.
"""

from pathlib import Path

from vilaco.data.formats.layout import NotThisFormat, base_folder
from vilaco.data.records import AUTHENTIC, TAMPERED, Record
from vilaco.errors import DataError
from vilaco.files import IMAGE_SUFFIXES
from vilaco.tables import read_text


def read_mvss(file: Path) -> list[Record]:
    """Read ``image mask label`` or ``image``, divided by tabs, or by spaces where no path has one.

    Raises:
        NotThisFormat: If ``file`` is no ``.txt`` or its first line does not begin with an image.
        DataError: Naming the line with another number of columns or another label.
    """
    rows = [(line, text.split("\t" if "\t" in text else None)) for line, text in _lines(file, (".txt",))]
    if not _is_image(rows[0][1][0]):
        raise NotThisFormat(f"line 1 does not begin with an image ({rows[0][1][0]!r})")
    base = base_folder(file, rows[0][1][0])
    records = []
    for line, cells in rows:
        if len(cells) not in (1, 3):
            raise DataError(
                f"{file}:{line}: {len(cells)} columns where 'image mask label' or 'image' belong; "
                "divide by tabs if paths have spaces."
            )
        if len(cells) == 1:
            records.append(Record(base / cells[0], None))
            continue
        image, mask, label = cells
        if label not in ("0", "1", "2"):
            raise DataError(f"{file}:{line}: label must be 0, 1 or 2, got '{label}'.")
        records.append(Record(base / image, min(int(label), TAMPERED), _mask(base, mask)))
    return records


def read_catnet(file: Path) -> list[Record]:
    """Read ``image,mask,jpeg`` (or ``image,mask,original,jpeg``); the image is the first column.

    Raises:
        NotThisFormat: If the first line has another number of columns or does not begin with an image.
        DataError: Naming the line that differs in number of columns.
    """
    return _read_commas(file, columns=(3, 4))


def read_trufor(file: Path) -> list[Record]:
    """Read ``image,mask``.

    Raises:
        NotThisFormat: If the first line has another number of columns or does not begin with an image.
        DataError: Naming the line that differs in number of columns.
    """
    return _read_commas(file, columns=(2,))


def _read_commas(file: Path, *, columns: tuple[int, ...]) -> list[Record]:
    rows = [(line, [cell.strip() for cell in text.split(",")]) for line, text in _lines(file, (".txt", ".csv"))]
    if rows[0][1][:2] == ["img", "mask"] and len(rows) > 1:
        rows = rows[1:]
    line, first = rows[0]
    if len(first) not in columns:
        wanted = " or ".join(map(str, columns))
        raise NotThisFormat(f"line {line} has {len(first)} columns divided by commas, not {wanted}")
    if not _is_image(first[0]):
        raise NotThisFormat(f"line {line} does not begin with an image ({first[0]!r})")
    base = base_folder(file, first[0])
    records = []
    for line, cells in rows:
        if len(cells) != len(first):
            raise DataError(f"{file}:{line}: {len(cells)} columns, and {len(first)} in the lines before.")
        mask = _mask(base, cells[1])
        records.append(Record(base / cells[0], TAMPERED if mask else AUTHENTIC, mask))
    return records


def _lines(file: Path, suffixes: tuple[str, ...]) -> list[tuple[int, str]]:
    """Lines that are not blank, with their numbers."""
    if file.is_dir() or file.suffix.lower() not in suffixes:
        raise NotThisFormat(f"is no {' or '.join(suffixes)} file")
    numbered = enumerate(read_text(file).splitlines(), start=1)
    lines = [(number, line.strip()) for number, line in numbered if line.strip()]
    if not lines:
        raise DataError(f"{file}: lists no images.")
    return lines


def _is_image(text: str) -> bool:
    return Path(text).suffix.lower() in IMAGE_SUFFIXES


def _mask(base: Path, text: str) -> Path | None:
    return None if text.lower() in ("none", "") else base / text
