"""``vilaco models`` as a person meets it."""

from pathlib import Path

from typer.testing import CliRunner

from vilaco.cli.models import app


def test_a_card_that_is_not_utf8_is_shown_as_far_as_it_goes(tmp_path: Path) -> None:
    (tmp_path / "README.md").write_bytes("Modèle".encode("latin-1"))
    result = CliRunner().invoke(app, ["card", str(tmp_path)])
    assert (result.exit_code, result.stdout) == (0, "Mod\ufffdle\n")
