import os
import stat
from pathlib import Path

import pytest

from pictures import encoded, smooth
from vilaco.errors import DataError, VilacoError
from vilaco.files import (
    FoundImage,
    find_images,
    name_results,
    refuse_filled,
    refuse_unwritable,
    result_stem,
    write_atomically,
)


def touch(root: Path, *names: str) -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"x")


def relatives(*paths: str | Path) -> list[str]:
    return [image.relative.as_posix() for image in find_images(paths)]


def test_folder_is_searched_to_the_bottom_in_order_without_hidden_or_other_files(tmp_path: Path) -> None:
    touch(tmp_path, "b.JPG", "a/z.png", "a/b/c.webp", "notes.txt", ".hidden.jpg", ".git/d.jpg", "a.tiff")
    assert relatives(tmp_path) == ["a/b/c.webp", "a/z.png", "a.tiff", "b.JPG"]
    assert all(image.path == tmp_path / image.relative for image in find_images([tmp_path]))


def test_folder_is_searched_by_content_where_the_ending_is_no_images(tmp_path: Path) -> None:
    touch(tmp_path, "notes.txt", "empty.jpg")
    (tmp_path / "IMG_0001").write_bytes(encoded(smooth(), "JPEG"))
    (tmp_path / "old.jpg_original").write_bytes(encoded(smooth(), "PNG"))
    (tmp_path / "raw.nef").write_bytes(b"MM\0*")
    (tmp_path / "report.pdf").write_bytes(b"%PDF-1.7")
    (tmp_path / ".hidden").write_bytes(encoded(smooth(), "PNG"))
    os.mkfifo(tmp_path / "pipe")
    assert relatives(tmp_path) == ["IMG_0001", "empty.jpg", "old.jpg_original", "raw.nef"]
    assert relatives(f"{tmp_path}/*[0-9]") == ["IMG_0001"]


def test_an_address_is_told_to_be_none_of_ours() -> None:
    with pytest.raises(DataError, match=r"nothing is fetched.*curl -s https://example.org/a.jpg \| vilaco detect -"):
        find_images(["https://example.org/a.jpg"])


def test_file_is_taken_whatever_its_ending_and_named_by_its_name(tmp_path: Path) -> None:
    touch(tmp_path, "deep/photo.dat")
    assert find_images([tmp_path / "deep/photo.dat"]) == [FoundImage(tmp_path / "deep/photo.dat", Path("photo.dat"))]


def test_glob_mirrors_what_is_below_its_fixed_part(tmp_path: Path) -> None:
    touch(tmp_path, "x/1.jpg", "x/2.txt", "y/deep/3.jpg", "4.png")
    assert relatives(f"{tmp_path}/**/*.jpg") == ["x/1.jpg", "y/deep/3.jpg"]
    assert relatives(f"{tmp_path}/*") == [
        "4.png",
        "x/1.jpg",
        "y/deep/3.jpg",
    ]  # folders that match are searched
    assert relatives(f"{tmp_path}/y/*/*.jpg") == ["deep/3.jpg"]


def test_relative_glob_and_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    touch(tmp_path, "x/1.jpg")
    monkeypatch.chdir(tmp_path)
    assert relatives("*/*.jpg") == ["x/1.jpg"]
    assert relatives(".") == ["x/1.jpg"]


def test_name_with_brackets_is_a_file_before_it_is_a_pattern(tmp_path: Path) -> None:
    touch(tmp_path, "scan[1].jpg", "scan1.jpg")
    assert relatives(tmp_path / "scan[1].jpg") == ["scan[1].jpg"]


def test_file_reached_twice_is_listed_once_where_it_came_first(tmp_path: Path) -> None:
    touch(tmp_path, "d/a.jpg", "d/b.jpg")
    assert relatives(tmp_path / "d/b.jpg", tmp_path / "d", f"{tmp_path}/d/*.jpg") == ["b.jpg", "a.jpg"]


def test_linked_folders_are_searched_once_even_in_a_loop(tmp_path: Path) -> None:
    touch(tmp_path, "set/a.jpg", "elsewhere/b.jpg")
    (tmp_path / "set/loop").symlink_to(tmp_path / "set")
    (tmp_path / "set/linked").symlink_to(tmp_path / "elsewhere")
    assert relatives(tmp_path / "set") == ["a.jpg", "linked/b.jpg"]


@pytest.mark.parametrize(
    ("given", "said"),
    [("nowhere", "no such file or folder"), ("empty", "holds no image"), ("*.jpg", "matches no image")],
)
def test_nothing_found_names_the_path_and_the_reason(tmp_path: Path, given: str, said: str) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match=said) as caught:
        find_images([tmp_path / given])
    assert str(tmp_path / given) in str(caught.value)


def test_an_empty_path_is_not_the_current_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    touch(tmp_path, "a.jpg")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DataError, match="an empty path names no file or folder"):
        find_images([""])


def test_result_stem_takes_off_the_last_extension_only() -> None:
    assert result_stem(Path("a/b.c.jpg")) == Path("a/b.c")
    assert result_stem(Path("photo")) == Path("photo")


def names(images: list[FoundImage], kept: dict[str, str] | None = None) -> list[str]:
    return [name.as_posix() for name in name_results(images, kept or {})]


def test_results_that_would_clash_keep_the_extension_or_get_a_number(tmp_path: Path) -> None:
    touch(tmp_path, "one/a.jpg", "one/b.jpg", "two/a.png", "two/A.HEIC", "three/a.jpg")
    assert names(find_images([tmp_path])) == ["one/a", "one/b", "three/a", "two/A.HEIC", "two/a.png"]
    together = find_images([tmp_path / "one", tmp_path / "two", tmp_path / "three"])
    assert names(together) == ["a.jpg", "b", "A.HEIC", "a.png", "a.jpg-2"]
    odd = [FoundImage(Path(name), Path(name)) for name in ("x.jpg", "x.png", "x.jpg.gif")]
    assert len({name.casefold() for name in names(odd)}) == 3


def test_results_of_an_earlier_run_keep_their_names_and_nobody_else_gets_them() -> None:
    jpg, png = (FoundImage(Path("in") / name, Path(name)) for name in ("a.jpg", "a.png"))
    assert names([png], {"in/a.jpg": "a"}) == ["a.png"]
    assert names([jpg, png], {"in/a.jpg": "a"}) == ["a", "a.png"]


@pytest.mark.parametrize("letters", [246, 251])
def test_names_of_results_fit_the_file_system(letters: int) -> None:
    long = [FoundImage(Path(f"{first}/{'l' * letters}.jpg"), Path(f"{'l' * letters}.jpg")) for first in "ab"]
    found = names(long)
    assert len(set(found)) == 2
    assert all(len(f"{name}.page4096.overlay.jpg") <= 255 for name in found)


def test_write_makes_folders_replaces_and_leaves_nothing_else(tmp_path: Path) -> None:
    target = tmp_path / "new/deep/file.bin"
    write_atomically(target, b"old")
    write_atomically(target, b"new")
    assert target.read_bytes() == b"new"
    assert os.listdir(target.parent) == ["file.bin"]
    mask = os.umask(0)
    os.umask(mask)
    assert stat.S_IMODE(target.stat().st_mode) == 0o666 & ~mask  # as open() would leave it


def test_failed_write_keeps_the_old_file_and_cleans_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = tmp_path / "file.bin"
    write_atomically(target, b"old")

    def full_disk(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full_disk)
    with pytest.raises(VilacoError, match="No space left"):
        write_atomically(target, b"new")
    assert target.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["file.bin"]


def test_a_folder_that_can_take_no_file_is_refused_and_nothing_is_made(tmp_path: Path) -> None:
    touch(tmp_path, "taken")
    refuse_unwritable(tmp_path)
    refuse_unwritable(tmp_path / "new/deep")
    for refused in ("taken", "taken/deep/er"):
        with pytest.raises(VilacoError, match=r"taken is not a folder"):
            refuse_unwritable(tmp_path / refused)
        with pytest.raises(VilacoError, match=r"taken is not a folder"):
            refuse_filled(tmp_path / refused)
    assert os.listdir(tmp_path) == ["taken"]


def test_write_below_a_file_says_so_in_one_line(tmp_path: Path) -> None:
    touch(tmp_path, "taken")
    with pytest.raises(VilacoError, match="cannot be written"):
        write_atomically(tmp_path / "taken/file.bin", b"")
