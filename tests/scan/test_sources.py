import os
import zipfile
from pathlib import Path

import pytest

from vilaco.errors import ConfigError, DataError, ImageError
from vilaco.scan.sources import list_items, read_bytes

FILES = {"a.jpg": b"A", "deep/b.PNG": b"B", "notes.txt": b"N", ".hidden.jpg": b"H", "deep/.git/c.jpg": b"C"}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, content in FILES.items():
        file = tmp_path / "in" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
    return tmp_path / "in"


def contents(source: object) -> dict[str, bytes]:
    return {item.path: read_bytes(item, max_bytes=10) for item in list_items(str(source))}


def test_folder_url_and_archive_list_the_same_images(folder: Path, tmp_path: Path) -> None:
    expected = {"a.jpg": b"A", "deep/b.PNG": b"B"}
    assert contents(folder) == expected
    assert contents(f"file://{folder}") == expected
    with zipfile.ZipFile(tmp_path / "all.zip", "w") as archive:
        for name, content in FILES.items():
            archive.writestr(name, content)
    assert contents(f"zip://::file://{tmp_path}/all.zip") == expected


def test_manifest_takes_paths_from_its_folder_urls_and_each_once(folder: Path) -> None:
    manifest = folder / "list.csv"
    manifest.write_text(f"label,path\n1,deep/b.PNG\n0,file://{folder}/a.jpg\n1,deep/b.PNG\n,gone.jpg\n", "utf-8-sig")
    items = list_items(str(manifest))
    assert [item.path for item in items] == ["deep/b.PNG", f"file://{folder}/a.jpg", "gone.jpg"]
    assert [read_bytes(item, max_bytes=10) for item in items[:2]] == [b"B", b"A"]
    with pytest.raises(ImageError) as caught:
        read_bytes(items[2], max_bytes=10)
    assert caught.value.code == "not_found"


@pytest.mark.parametrize("place", ["{}", "file://{}"])
def test_large_empty_and_vanished_files(folder: Path, place: str) -> None:
    (folder / "empty.jpg").write_bytes(b"")
    (folder / "large.jpg").write_bytes(bytes(11))
    (folder / "limit.jpg").write_bytes(bytes(10))
    items = {item.path: item for item in list_items(place.format(folder))}
    (folder / "a.jpg").unlink()
    codes = {}
    for name, item in items.items():
        try:
            read_bytes(item, max_bytes=10)
        except ImageError as error:
            codes[name] = error.code
    assert codes == {"empty.jpg": "empty", "large.jpg": "too_large", "a.jpg": "not_found"}


def test_names_that_are_not_text_keep_apart(folder: Path) -> None:
    strange = os.path.join(os.fsencode(folder), b"\xff.jpg")
    with open(strange, "wb") as file:
        file.write(b"S")
    assert contents(folder)["\\xff.jpg"] == b"S"
    (folder / "\\xff.jpg").write_bytes(b"T")
    with pytest.raises(DataError, match="two files would both be called"):
        list_items(str(folder))


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("nowhere", "no such file or folder"),
        ("photo.jpg", "give a folder, a manifest ending in .csv or .tsv, or a URL"),
        ("nowhere.csv", "cannot be read (No such file or directory)"),
        ("file:///nowhere/at/all", "holds no image"),
        ("nosuch://x", "cannot be opened"),
        ("no_path.csv", "has no column for the path; it has label, where; understood are path, file"),
        ("not_text.csv", "cannot be read as UTF-8 text"),
    ],
)
def test_wrong_sources(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: str, words: str) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "photo.jpg").write_bytes(b"J")
    (tmp_path / "no_path.csv").write_text("label,where\n1,a.jpg\n")
    (tmp_path / "not_text.csv").write_bytes(b"path\n\xff\xfe\n")
    with pytest.raises((DataError, ConfigError)) as caught:
        list_items(source)
    assert words in str(caught.value)
    assert source in str(caught.value)
