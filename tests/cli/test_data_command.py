"""``vilaco data`` as a person meets it: words on the screen, files on the disk, exit codes."""

import json
import sys
from pathlib import Path

import pytest
from PIL import Image

from vilaco.cli.main import main


def vilaco(*words: str | Path) -> int:
    """Run the command line, as the shell would, and give its exit code."""
    before = sys.argv
    sys.argv = ["vilaco", *map(str, words)]
    try:
        with pytest.raises(SystemExit) as end:
            main()
    finally:
        sys.argv = before
    return int(end.value.code or 0)


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Two folders with six photos of three scenes, and a manifest that tells the scenes."""
    root = tmp_path / "photos"
    rows = ["path,label,group"]
    for index in range(6):
        label = ("authentic", "tampered")[index % 2]
        path = root / label / f"{index}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (8, 6), (index, 0, 0)).save(path)
        rows.append(f"{label}/{index}.png,{index % 2},scene{index // 2}")
    (root / "manifest.csv").write_text("\n".join(rows) + "\n")
    return root


def test_verify_prints_counts_and_exits_0(photos: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert vilaco("data", "verify", photos) == 0
    out = capsys.readouterr().out
    assert f"{photos} (manifest)" in out
    assert "6 = 3 authentic + 3 tampered + 0 without a label" in out
    assert "0 not binary; 3 tampered images without" in out


def test_verify_names_unreadable_files_and_exits_3(photos: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (photos / "authentic/0.png").write_bytes(b"")
    assert vilaco("data", "verify", photos, "--format", "folders") == 3
    streams = capsys.readouterr()
    assert "6 = 5 readable + 1 unreadable" in streams.out
    assert "authentic/0.png: " in streams.out
    assert "1 files could not be read" in streams.err


def test_verify_counts_what_is_read_otherwise_than_stored(photos: Path, capsys: pytest.CaptureFixture[str]) -> None:
    glass = Image.new("RGBA", (8, 6), (1, 2, 3, 128))
    for name in ("authentic/0.png", "tampered/1.png"):
        glass.save(photos / name)
    assert vilaco("data", "verify", photos) == 0
    (line,) = [line for line in capsys.readouterr().out.splitlines() if line.startswith("  notes ")]
    assert line.split(maxsplit=1)[1] == (
        "2 photos were read otherwise than stored: transparent parts were laid over white (2); "
        f"the first is {photos / 'authentic/0.png'}"
    )
    assert vilaco("data", "verify", photos, "--json") == 0
    (split,) = json.loads(capsys.readouterr().out)["splits"]
    assert split["noted"]["kinds"] == {"transparent parts were laid over white": 2}


def test_verify_json_compares_splits(photos: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name, lines in (("train", "authentic/0.png,0,a\n"), ("test", "tampered/1.png,1,a\n")):
        (photos / f"{name}.csv").write_text("path,label,group\n" + lines)
    assert vilaco("data", "verify", photos / "train.csv", photos / "test.csv", "--json") == 0
    report = json.loads(capsys.readouterr().out)
    assert [scene["scene"] for scene in report["shared_scenes"]] == ["a"]
    assert [split["images"] for split in report["splits"]] == [1, 1]


def test_a_path_of_no_format_is_one_message_and_exit_2(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert vilaco("data", "verify", tmp_path) == 2
    err = capsys.readouterr().err
    assert err.startswith(f"error: {tmp_path}: no known format fits. Tried:\n  manifest: ")
    assert "Traceback" not in err


def test_convert_refuses_a_loss_and_then_allows_it(photos: Path, capsys: pytest.CaptureFixture[str]) -> None:
    target = photos / "list.txt"
    assert vilaco("data", "convert", photos, target, "--to", "mvss") == 2
    assert "no room for scene groups (6 images)" in capsys.readouterr().err
    assert not target.exists()
    assert vilaco("data", "convert", photos, target, "--to", "mvss", "--allow-loss", "--json") == 0
    assert json.loads(capsys.readouterr().out)["losses"] == {"scene groups": 6}
    assert target.read_text().splitlines()[0] == "authentic/0.png None 0"


def test_split_into_folds(photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert vilaco("data", "split", photos, "--out", tmp_path / "folds", "--folds", "3") == 0
    assert "2 images, 1 authentic, 1 tampered, 1 scenes" in capsys.readouterr().out
    folds = sorted((tmp_path / "folds").iterdir())
    assert [fold.name for fold in folds] == ["fold_0.csv", "fold_1.csv", "fold_2.csv"]
    assert vilaco("data", "verify", *folds) == 0
    assert "scenes shared between splits: 0" in capsys.readouterr().out


def test_split_by_fraction(photos: Path, tmp_path: Path) -> None:
    assert vilaco("data", "split", photos, "--out", tmp_path / "s", "--fraction", "0.33", "--seed", "1") == 0
    assert len((tmp_path / "s/kept.csv").read_text().splitlines()) == 1 + 4
    assert len((tmp_path / "s/held_out.csv").read_text().splitlines()) == 1 + 2


def test_split_never_overwrites_what_it_splits(
    photos: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(photos)
    (photos / "manifest.csv").rename("kept.csv")
    before = Path("kept.csv").read_text()
    assert vilaco("data", "split", "kept.csv", "--out", ".", "--fraction", "0.33") == 2
    assert "kept.csv: is what is split, and a part would overwrite it" in capsys.readouterr().err
    assert Path("kept.csv").read_text() == before
    assert not Path("held_out.csv").exists()


def test_parts_of_two_splits_never_lie_in_one_folder(
    photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folds = tmp_path / "folds"
    again = ("data", "split", photos, "--out", folds, "--folds")
    assert [vilaco(*again, "3"), vilaco(*again, "3")] == [0, 0]  # the same split, dealt again
    before = {fold.name: fold.read_text() for fold in folds.iterdir()}
    capsys.readouterr()
    assert vilaco(*again, "2") == 2
    assert f"{folds}/fold_2.csv: is a part of another split" in capsys.readouterr().err
    assert {fold.name: fold.read_text() for fold in folds.iterdir()} == before


def test_a_given_split_that_crosses_a_scene_is_refused(
    photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (photos / "train.csv").write_text("path,label,group\nauthentic/0.png,0,a\n")
    (photos / "test.csv").write_text("path,label,group\ntampered/1.png,1,a\n")
    out = tmp_path / "out"
    assert vilaco("data", "split", photos / "train.csv", photos / "test.csv", "--out", out) == 2
    assert "scene 'a' is in" in capsys.readouterr().err
    assert not out.exists()


@pytest.mark.parametrize("options", [[], ["--folds", "2", "--fraction", "0.5"]])
def test_split_needs_one_way_to_split(
    photos: Path, tmp_path: Path, options: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert vilaco("data", "split", photos, "--out", tmp_path / "out", *options) == 2
    assert "say either --folds K or --fraction F" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("size", "words"),
    [
        ("384", "--size must be WIDTHxHEIGHT such as 384x256, got '384'"),
        ("²x2", "--size must be WIDTHxHEIGHT such as 384x256, got '²x2'"),
        ("384x63", "sizes 64 to 8192 pixels"),
        ("999999x999999", "sizes 64 to 8192 pixels"),
    ],
)
def test_forge_refuses_a_size_it_cannot_make(
    photos: Path, tmp_path: Path, size: str, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert vilaco("data", "forge", photos, "--out", tmp_path / "forged", "--size", size) == 2
    assert words in capsys.readouterr().err


@pytest.mark.parametrize(
    ("command", "words"),
    [
        (("data", "split", "PHOTOS", "--out", "OUT", "--folds", "2", "--seed", "-1"), "--seed"),
        (("audit", "PHOTOS", "--seed", str(2**32)), "--seed"),
        (("train", "PHOTOS", "--out", "OUT", "--set", "training.seed=-1"), "training.seed"),
        (("train", "PHOTOS", "--out", "OUT", "--set", f"training.seed={2**31}"), "training.seed"),
    ],
)
def test_a_seed_that_no_generator_takes_is_refused(
    photos: Path, tmp_path: Path, command: tuple[str, ...], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    given = {"PHOTOS": photos, "OUT": tmp_path / "out"}
    assert vilaco(*(given.get(word, word) for word in command)) == 2
    err = capsys.readouterr().err
    assert words in err
    assert "Traceback" not in err
