"""The examples of docs/serve.md run as they stand."""

import re
import shutil
import subprocess
from pathlib import Path

import httpx2
import pytest

from serving import photo_bytes

GUIDE = (Path(__file__).parents[2] / "docs/serve.md").read_text()
EXAMPLES = re.findall(r"^```bash\n(.*?)^```", GUIDE, re.DOTALL | re.MULTILINE)


@pytest.mark.skipif(shutil.which("curl") is None, reason="the examples need curl")
@pytest.mark.parametrize("number", range(len(EXAMPLES)))
def test_an_example_runs(number: int, client: httpx2.Client, tmp_path: Path) -> None:
    (tmp_path / "photo.jpg").write_bytes(photo_bytes(1))
    (tmp_path / "other.png").write_bytes(photo_bytes(2, ending=".png"))
    script = EXAMPLES[number].replace("http://127.0.0.1:8000", str(client.base_url).rstrip("/"))
    run = subprocess.run(
        ["bash", "-euc", script], cwd=tmp_path, capture_output=True, text=True, check=False, timeout=120
    )
    assert run.returncode == 0, run.stderr
    assert "urn:vilaco" not in run.stdout
    for name in re.findall(r"-o (\S+)", script):
        assert (tmp_path / name).is_file(), name


def test_every_code_of_the_guide_is_one_of_ours() -> None:
    source = "".join(file.read_text() for file in (Path(__file__).parents[2] / "src/vilaco").rglob("*.py"))
    for code in re.findall(r"\b(?:408|413|422|503|507) (`\w+`(?:, `\w+`)*)", GUIDE):
        for word in re.findall(r"`(\w+)`", code):
            assert f'"{word}"' in source, word
