"""A training pool: what cannot be read is named, what looks like another is left out, groups stay on one side."""

import csv
import hashlib
from pathlib import Path

import cv2
import numpy as np
import pytest
from typer.testing import CliRunner

from pictures import make_photo
from vilaco.cli.main import app
from vilaco.data.pool import PoolPhoto, build_pool, find_photo, pool_table, read_pool, side_of, write_pool
from vilaco.errors import DataError


def write(path: Path, pixels: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), pixels)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Two sources of five photos; one photo is broken, one tiny, one a re-save of another's, one of a judged set."""
    rng, root = np.random.default_rng(0), tmp_path / "photos"
    for source in ("street", "holiday"):
        for index in range(5):
            write(root / source / f"{index}.png", make_photo(rng, 160, 200))
    (root / "street/1.png").write_bytes(b"no picture")
    write(root / "holiday/2.png", make_photo(rng, 100, 300))
    copied = cv2.imread(str(root / "street/0.png"))
    cv2.imwrite(str(root / "holiday/3.jpg"), cv2.resize(copied, (180, 144)), [cv2.IMWRITE_JPEG_QUALITY, 70])
    (root / "holiday/3.png").unlink()
    judged = cv2.imread(str(root / "holiday/4.png"))
    write(tmp_path / "judged/test.jpg", cv2.GaussianBlur(judged, (0, 0), 1.5))
    return root


def test_what_is_left_out_is_left_out_for_its_reason(root: Path) -> None:
    report = build_pool([root], sources=["street", "holiday"], against=[root.parent / "judged"])
    kept = [photo.path for photo in report.photos]
    assert kept == ["holiday/0.png", "holiday/1.png", "street/0.png", "street/2.png", "street/3.png", "street/4.png"]
    assert [Path(error.source) for error in report.unreadable] == [root / "street/1.png"]
    assert (report.small, report.thinned, report.alike, report.judged) == (1, 0, 1, 1)
    first = next(photo for photo in report.photos if photo.path == "street/0.png")
    assert first.sha256 == hashlib.sha256((root / "street/0.png").read_bytes()).hexdigest()
    assert (first.width, first.height, first.source, first.terms) == (200, 160, "street", "not stated")
    # of two alike the source named first keeps its own
    other = build_pool([root], sources=["holiday", "street"])
    assert "holiday/3.jpg" in {photo.path for photo in other.photos}
    assert "street/0.png" not in {photo.path for photo in other.photos}


def test_frames_are_thinned_and_scenes_stay_whole(root: Path) -> None:
    report = build_pool([root], sources=["street"], every={"street": 2}, scenes=["street"])
    assert [photo.path for photo in report.photos] == ["street/0.png", "street/2.png", "street/4.png"]
    assert report.thinned == 2
    assert {photo.group for photo in report.photos} == {"street"}


def test_a_root_can_say_terms_and_groups(root: Path) -> None:
    with open(root / "photos.csv", "w", newline="") as file:
        csv.writer(file).writerows(
            [
                ("path", "source", "terms", "group"),
                ("holiday/0.png", "mine", "free", "anna"),
                ("street/0.png", "mine", "free", "ben"),
            ]
        )
    report = build_pool([root], sources=["mine", "street"], terms={"street": "research"})
    assert [(photo.path, photo.terms, photo.group) for photo in report.photos][:2] == [
        ("holiday/0.png", "free", "anna"),
        ("street/0.png", "free", "ben"),  # as of source mine, which is named first
    ]
    assert {photo.terms for photo in report.photos[2:]} == {"research"}


def test_sides_follow_groups_and_never_move(root: Path) -> None:
    report = build_pool([root], sources=["street", "holiday"], seed=3)
    assert all(photo.side == side_of(photo.group, 3) for photo in report.photos)
    assert build_pool([root], sources=["street"], seed=3).photos == [p for p in report.photos if p.source == "street"]


def test_a_list_comes_back_and_a_wrong_one_is_refused(root: Path, tmp_path: Path) -> None:
    photos = build_pool([root], sources=["street"]).photos
    write_pool(photos, tmp_path / "pool.csv")
    assert read_pool(tmp_path / "pool.csv") == photos
    write_pool(photos, tmp_path / "pool.csv.xz")
    assert read_pool(tmp_path / "pool.csv.xz") == photos
    (tmp_path / "pool.csv.xz").write_bytes((tmp_path / "pool.csv").read_bytes())
    with pytest.raises(DataError, match="not a pool's list"):
        read_pool(tmp_path / "pool.csv.xz")
    text = (tmp_path / "pool.csv").read_text()
    for wrong, message in (
        (text.replace("sha256", "hash"), "its columns are"),
        (text.replace(photos[0].side, "elsewhere", 1), "'elsewhere' is none of"),
        (text.replace(",200,", ",wide,", 1), "not a pool's list"),
        ("", "its columns are"),
    ):
        (tmp_path / "wrong.csv").write_text(wrong)
        with pytest.raises(DataError, match=message):
            read_pool(tmp_path / "wrong.csv")
    with pytest.raises(DataError, match="not a pool's list"):
        read_pool(tmp_path / "none.csv")
    assert find_photo(photos[0], [tmp_path, root]) == root / photos[0].path
    with pytest.raises(DataError, match="in none of"):
        find_photo(photos[0], [tmp_path])


def test_an_unknown_source_is_refused(root: Path) -> None:
    with pytest.raises(DataError, match="garden: no such source"):
        build_pool([root], sources=["garden"])


def test_the_table_counts_by_source_and_side() -> None:
    photos = [
        PoolPhoto(f"a/{index}.png", "", "a", "free", str(index), 1, 1, side)
        for index, side in enumerate(("training", "training", "calibration"))
    ]
    assert pool_table(photos).splitlines()[-1] == "| a | free | 3 | 2 | 0 | 1 |"


def test_the_command_writes_the_list_and_names_what_it_could_not_read(root: Path, tmp_path: Path) -> None:
    out = tmp_path / "pool.csv"
    arguments = ["data", "pool", str(root), "-s", "street", "-s", "holiday", "--against", str(root.parent / "judged")]
    ended = CliRunner().invoke(app, [*arguments, "--terms", "street=free", "--out", str(out)])
    assert ended.exit_code == 3, ended.output
    assert "6 photos; left out: 1 alike, 1 like pictures that are judged on, 1 too small" in ended.stdout
    assert "street/1.png" in ended.stderr
    assert len(read_pool(out)) == 6
    assert "| street | free | 4 |" in ended.stdout


@pytest.mark.parametrize("wrong", [["--every", "street"], ["--every", "street=0"], ["--terms", "free"]])
def test_the_command_refuses_what_it_cannot_read(root: Path, wrong: list[str]) -> None:
    arguments = ["data", "pool", str(root), "-s", "street", "--out", str(root / "pool.csv"), *wrong]
    ended = CliRunner().invoke(app, arguments)
    assert ended.exit_code != 0
    assert not (root / "pool.csv").exists()
