"""Reports on paper, and what is said where a library is missing."""

import re
import sys
import zlib
from pathlib import Path

import pytest

from cases import EVIL, make_case, make_jpeg
from vilaco.errors import ConfigError, ImageError
from vilaco.images import load_photo
from vilaco.report import ReportWriter, render_case, write_report


def pages(file: Path) -> int:
    data = file.read_bytes()
    assert data.startswith(b"%PDF-")
    parts = [
        zlib.decompressobj().decompress(part)
        for part in re.findall(rb"stream\r?\n(x.*?)\r?\nendstream", data, re.DOTALL)
    ]
    return len(re.findall(rb"/Type\s*/Page\b", b" ".join([data, *parts])))


@pytest.fixture
def _weasyprint() -> None:
    pytest.importorskip("weasyprint", reason="needs vilaco[report]", exc_type=(ImportError, OSError))


@pytest.mark.usefixtures("_weasyprint")
def test_one_photo_fits_on_a_few_pages(tmp_path: Path) -> None:
    write_report(tmp_path / "case.pdf", [make_case(make_jpeg(Software=EVIL), name=f"{EVIL}.jpg")])
    assert 1 <= pages(tmp_path / "case.pdf") <= 4


@pytest.mark.usefixtures("_weasyprint")
def test_many_are_an_index_and_a_file_each(tmp_path: Path) -> None:
    write_report(tmp_path / "case.pdf", [make_case(name="a.jpg"), make_case(name="b.jpg")])
    assert pages(tmp_path / "case.pdf") == 1
    assert [file.name for file in sorted((tmp_path / "case-cases-pdf").iterdir())] == ["0001-a.pdf", "0002-b.pdf"]


@pytest.mark.usefixtures("_weasyprint")
def test_making_pdfs_does_not_soften_decoding(tmp_path: Path) -> None:
    write_report(tmp_path / "case.pdf", [make_case()])  # WeasyPrint tells Pillow to accept files that are cut short
    with pytest.raises(ImageError) as caught:
        load_photo(make_jpeg(300, 400)[:2000])
    assert caught.value.code == "truncated"


def test_without_weasyprint_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "weasyprint", None)
    with pytest.raises(ConfigError, match=r"pip install 'vilaco\[report\]'"):
        ReportWriter(tmp_path / "case.pdf", many=False)


def test_without_c2pa_the_report_says_what_is_not_checked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "c2pa", None)
    page = render_case(make_case())
    assert "not checked: c2pa-python is not installed; pip install &#39;vilaco[report]&#39;" in page
