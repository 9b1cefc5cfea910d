"""What becomes of files that nobody would call a good photo: in Python, on the command line, and in a scan."""

import json
import os
import time
from pathlib import Path

import pytest

from bad_inputs import BAD_INPUTS, HIDDEN_NAMES, JPEG, BadInput, make_all
from scan_runs import rows_of, run_cli
from vilaco.errors import ImageError
from vilaco.localizer import Localizer
from vilaco.names import as_text, one_line

SECONDS = 10
KINDS = {kind.name: kind for kind in BAD_INPUTS}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_all(tmp_path_factory.mktemp("bad") / "in")


@pytest.fixture(scope="module")
def localizer() -> Localizer:
    return Localizer.load()


def test_there_are_enough_kinds() -> None:
    assert len(KINDS) == len(BAD_INPUTS) > 60


@pytest.mark.timeout(60)
@pytest.mark.parametrize("kind", BAD_INPUTS, ids=lambda kind: ascii(kind.name)[1:40])
def test_python(kind: BadInput, folder: Path, localizer: Localizer, tmp_path: Path) -> None:
    started = time.process_time()
    result, error = None, None
    try:
        result = localizer(folder / kind.name)
    except ImageError as refused:
        error = refused
    assert time.process_time() - started < SECONDS
    if error is not None:
        assert error.code in kind.codes, error
        assert one_line(str(error)) == str(error)
        assert str(error).startswith(one_line(folder / kind.name))
        return
    assert result.localization_map.shape == kind.size
    json.loads(result.to_json())
    result.save(tmp_path / "out")
    assert len(list((tmp_path / "out").iterdir())) == 3
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def outcome(kind: BadInput, row: dict[str, object] | None, code: str | None) -> None:
    """A right answer or a right refusal, and never both or neither."""
    assert (row is None) != (code is None), kind.name
    if row is not None:
        assert (row["height"], row["width"]) == kind.size, kind.name
        assert row["seconds"] < SECONDS, kind.name
    else:
        assert code in kind.codes, kind.name


def what_lies_in(folder: Path) -> set[Path]:
    return {Path(found) / name for found, folders, files in os.walk(folder) for name in [*folders, *files]}


def test_detect(folder: Path, tmp_path: Path) -> None:
    for name in HIDDEN_NAMES:
        (tmp_path / name).write_bytes(JPEG)
    given = [folder, *(tmp_path / name for name in HIDDEN_NAMES)]
    before = what_lies_in(folder.parent) | what_lies_in(tmp_path)
    run = run_cli("detect", *given, "--out", tmp_path / "out", "--json", cwd=tmp_path)
    assert run.returncode == 3, run.stderr
    assert "Traceback" not in run.stderr
    rows = {row["path"]: row for row in map(json.loads, run.stdout.splitlines())}
    assert len((tmp_path / "out/results.jsonl").read_text().splitlines()) == len(rows)
    codes = {}
    for line in run.stderr.splitlines()[:-2]:
        assert line.startswith("skipped: "), line
        codes[line.removeprefix("skipped: ").split(": ")[0]] = line.rsplit("[", 1)[1].removesuffix("]")
    for kind in BAD_INPUTS:
        path = as_text(folder / kind.name)
        outcome(kind, rows.pop(path, None), codes.pop(one_line(path), None))
    assert set(rows) == {str(tmp_path / name) for name in HIDDEN_NAMES}
    assert codes == {}
    after = what_lies_in(folder.parent) | what_lies_in(tmp_path)
    assert {path.relative_to(tmp_path).parts[0] for path in after - before} == {"out"}


def test_scan(folder: Path, tmp_path: Path) -> None:
    before = what_lies_in(folder.parent)
    run = run_cli("scan", folder, "--out", tmp_path / "out", "--keep-above", "0", "--workers", "2", cwd=tmp_path)
    assert run.returncode == 3, run.stderr
    assert "Traceback" not in run.stderr
    rows = {row["path"]: row for row in rows_of(tmp_path / "out")}
    assert len(rows) == len(rows_of(tmp_path / "out"))
    skipped = [line for line in run.stderr.splitlines() if line.startswith("skipped: ")]
    assert len(skipped) == sum(row["error_code"] is not None for row in rows.values())
    for kind in BAD_INPUTS:
        row = rows.pop(as_text(kind.name))
        outcome(kind, row if row["verdict"] else None, row["error_code"])
    assert rows == {}
    assert what_lies_in(folder.parent) == before
    assert {path.name for path in tmp_path.iterdir()} == {"out"}
    page = (tmp_path / "out/summary.html").read_text()
    assert "<script" not in page
    assert "\u202e" not in page
