"""The site of guides and API reference builds without a warning, and holds what people look for."""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.mark.skipif(importlib.util.find_spec("sphinx") is None, reason="needs vilaco[docs]")
@pytest.mark.timeout(900)
def test_the_site_builds_without_a_warning(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "sphinx", "-q", "-W", "--keep-going", "-b", "html", "-d", tmp_path / "trees"]
    run = subprocess.run(
        [*command, ROOT / "docs", tmp_path / "site"],
        env={**os.environ, "PYTHONPATH": str(ROOT / "src")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (run.returncode, run.stderr) == (0, "")
    for page, name in (
        ("judging", "vilaco.localizer.Localizer.load"),
        ("judging", "vilaco.result.Result.save"),
        ("reports", "vilaco.evidence.reading.read_evidence"),
        ("reports", "vilaco.report.writing.write_report"),
        ("evaluation", "vilaco.evaluation.evaluate.evaluate"),
        ("training", "vilaco.training.fit.train"),
        ("services", "vilaco.scan.run.scan"),
        ("services", "vilaco.serve.settings.ServeSettings"),
    ):
        assert f'id="{name}"' in (tmp_path / "site/api" / f"{page}.html").read_text(), name
