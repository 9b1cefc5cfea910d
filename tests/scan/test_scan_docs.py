"""What docs/scan.md says must be so: its commands run, or are marked with what they need."""

import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from scan_runs import rows_of, run_cli
from vilaco.evidence.credentials import Credentials
from vilaco.scan.judge import ScanRow
from vilaco.scan.store import SCHEMA

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/scan.md").read_text()
BLOCKS = re.findall(r"^```([^\n]*)\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)
COMMANDS = {
    marker: [line.split("  #")[0].strip() for kind, text in BLOCKS if kind == marker for line in text.splitlines()]
    for marker, _ in BLOCKS
}


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where a reader of the page would stand."""
    folder = tmp_path_factory.mktemp("docs")
    for name in ("authentic/coffee.jpg", "tampered/two_dahlias.jpg"):
        (folder / "photos" / name).parent.mkdir(parents=True)
        shutil.copy(ROOT / "examples/photos" / name, folder / "photos" / name)
    (folder / "list.csv").write_text("path,note\nphotos/authentic/coffee.jpg,ours\n")
    return folder


def test_commands_and_python_run(place: Path) -> None:
    for line in COMMANDS["sh run"]:
        words = shlex.split(line.replace("/PHOTOS", str(place / "photos")))
        run = run_cli(*words[1:], cwd=place)
        assert (run.returncode, words[0]) == (0, "vilaco"), run.stderr
        assert len(rows_of(place / words[words.index("--out") + 1])) in (1, 2)
    for code in (text for kind, text in BLOCKS if kind == "python"):
        run = subprocess.run([sys.executable, "-c", code], cwd=place, capture_output=True, text=True, check=False)
        assert run.returncode == 0, run.stderr
        assert run.stdout
    assert {path.name for path in place.iterdir()} == {
        "photos", "list.csv", "scanned", "from_list", "from_url", "all_pages",
    }  # fmt: skip


def test_ray_runs(place: Path, tmp_path: Path) -> None:
    (line,) = COMMANDS["sh run-ray"]
    shutil.copytree(place / "photos", tmp_path / "photos")
    run = run_cli(*shlex.split(line)[1:], cwd=tmp_path)
    assert run.returncode == 0, run.stderr
    assert len(run.stderr.splitlines()) == 3  # and nothing that Ray has to say
    assert len(rows_of(tmp_path / "with_ray")) == 2


def test_every_option_exists() -> None:
    help_text = run_cli("scan", "--help", env={"COLUMNS": "200", "TERM": "dumb"}).stdout
    options = set(re.findall(r"--[a-z][a-z-]+", PAGE)) - {"--head", "--port", "--address"}
    assert options
    assert [option for option in options if option not in help_text] == []


def test_columns_are_those_of_the_page_the_table_and_the_row() -> None:
    assert SCHEMA.names == list(ScanRow.model_fields)
    regions, credentials = SCHEMA.field("regions").type.value_type, SCHEMA.field("credentials").type
    assert [field.name for field in credentials] == list(Credentials.model_fields)
    for name in [*SCHEMA.names, *(field.name for part in (regions, credentials) for field in part)]:
        assert f"`{name}`" in PAGE, name


def test_links_lead_somewhere() -> None:
    for target in re.findall(r"\]\((?!https?:)([^)#]+)\)", PAGE):
        assert (ROOT / "docs" / target).exists(), target
