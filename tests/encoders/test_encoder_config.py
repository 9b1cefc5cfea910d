import sys
from pathlib import Path

import pytest
from pydantic import ValidationError

from vilaco.encoders import EncoderConfig, load_encoder
from vilaco.encoders.config import encoder_families


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An installed package with a family of its own, and one that would take the place of ours."""
    (tmp_path / "loud_encoder.py").write_text(
        "class Loud:\n    def __init__(self, config):\n        self.config = config\n"
    )
    metadata = tmp_path / "loud_encoder-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Name: loud-encoder\nVersion: 1.0\n")
    names = "loud = loud_encoder:Loud\nclip = loud_encoder:Loud\n"
    (metadata / "entry_points.txt").write_text(f"[vilaco.encoders]\n{names}")
    monkeypatch.syspath_prepend(tmp_path)


@pytest.mark.usefixtures("package")
def test_an_installed_package_adds_a_family() -> None:
    config = EncoderConfig(family="loud", checkpoint="here")
    encoder = load_encoder(config)
    assert type(encoder).__name__ == "Loud"
    assert encoder.config is config
    assert EncoderConfig.model_validate_json(config.model_dump_json()) == config


@pytest.mark.usefixtures("package")
def test_no_package_takes_the_place_of_ours_and_none_is_imported_to_list_them() -> None:
    sys.modules.pop("loud_encoder", None)
    assert encoder_families()["clip"].value == "vilaco.encoders.clip:ClipEncoder"
    assert "loud_encoder" not in sys.modules


def test_a_family_that_is_not_installed_is_refused_with_those_that_are() -> None:
    with pytest.raises(ValidationError, match="there is no encoder 'loud'; installed are clip, embedded"):
        EncoderConfig(family="loud")
