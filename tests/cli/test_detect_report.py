"""``vilaco detect --report`` as a person meets it."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from pictures import make_photo
from vilaco.images import encode_jpeg


def detect(*arguments: object, **variables: str) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, "OMP_NUM_THREADS": "1", "VILACO_THREADS": "1", "NO_COLOR": "1", **variables}
    command = [sys.executable, "-m", "vilaco", "detect", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, env=env, check=False, timeout=120)


@pytest.fixture
def inbox(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    folder = tmp_path / "inbox"
    (folder / "deep").mkdir(parents=True)
    for name in ("one.jpg", "deep/<script>alert(1)<;script>.jpg"):
        (folder / name).write_bytes(encode_jpeg(make_photo(rng), 90))
    return folder


def test_one_photo(inbox: Path, tmp_path: Path) -> None:
    run = detect(inbox / "one.jpg", "--report", tmp_path / "case.html")
    assert run.returncode == 0, run.stderr
    assert f"report in {tmp_path / 'case.html'}" in run.stderr
    page = (tmp_path / "case.html").read_text("utf-8")
    assert "<h1>one.jpg</h1>" in page
    assert run.stdout.split("  ")[0].strip() in page
    assert str(tmp_path) not in page


def test_a_folder_with_a_broken_file(inbox: Path, tmp_path: Path) -> None:
    (inbox / "broken.jpg").write_bytes(b"")
    run = detect(inbox, "--report", tmp_path / "case.html")
    assert run.returncode == 3
    index = (tmp_path / "case.html").read_text()
    assert "2 photos judged" in index
    assert "the file is empty" in index
    assert "deep/&lt;script&gt;alert(1)&lt;;script&gt;.jpg" in index
    assert len(list((tmp_path / "case-cases").iterdir())) == 2
    again = detect(inbox, "--report", tmp_path / "case.html")
    assert again.returncode == 2
    assert again.stdout == ""
    assert "case-cases: exists and is not an empty folder" in again.stderr


def test_no_report_of_one_broken_photo(tmp_path: Path) -> None:
    (tmp_path / "broken.jpg").write_bytes(b"")
    run = detect(tmp_path / "broken.jpg", "--report", tmp_path / "case.html")
    assert run.returncode == 3
    assert run.stderr.splitlines()[-1] == "no report: no photo could be read"
    assert not (tmp_path / "case.html").exists()


@pytest.mark.parametrize(
    ("report", "variables", "words"),
    [
        ("case.docx", {}, "case.docx: a report's name ends in .html or .pdf"),
        ("case.html", {"VILACO_TRUST_ANCHORS": "no-such.pem"}, "VILACO_TRUST_ANCHORS=no-such.pem: cannot be read"),
    ],
)
def test_wrong_use_is_told_before_any_work(
    inbox: Path, tmp_path: Path, report: str, variables: dict[str, str], words: str
) -> None:
    run = detect(inbox / "one.jpg", "--report", tmp_path / report, **variables)
    assert (run.returncode, run.stdout) == (2, "")
    assert words in run.stderr
    assert "Traceback" not in run.stderr
    assert not (tmp_path / report).exists()


def test_a_report_that_cannot_be_written(inbox: Path, tmp_path: Path) -> None:
    (tmp_path / "taken").write_bytes(b"")
    run = detect(inbox / "one.jpg", "--report", tmp_path / "taken" / "case.html")
    assert run.returncode == 2
    assert "case.html: cannot be written" in run.stderr
    assert "Traceback" not in run.stderr
