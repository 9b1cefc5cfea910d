"""Scans of files that hold more, or something else, than the one photo that is judged."""

import re
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pictures import encoded, make_photo
from scan_runs import rows_of, run_scan
from signing import make_signer, sign
from vilaco.localizer import Localizer
from vilaco.scan.run import scan


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A TIFF of three pages, a GIF of two, and a photo of one."""
    folder = tmp_path / "in"
    folder.mkdir()
    rng = np.random.default_rng(0)
    pages = [Image.fromarray(make_photo(rng, 48, 64)) for _ in range(6)]
    pages[0].save(folder / "three.tif", save_all=True, append_images=pages[1:3])
    pages[3].save(folder / "two.gif", save_all=True, append_images=pages[4:5])
    pages[5].save(folder / "one.jpg", quality=90)
    return folder


def test_each_page_has_a_row_and_none_is_judged_twice(source: Path, exported_tiny_model: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    once = partial(scan, source, out, model=exported_tiny_model, page="all", keep_above=0, workers=1, part_rows=2)
    report = once()
    assert (report.images, report.done, report.noted) == (6, 6, 5)
    expected = {("three.tif", 1), ("three.tif", 2), ("three.tif", 3), ("two.gif", 1), ("two.gif", 2), ("one.jpg", 1)}
    rows = {(row["path"], row["page"]): row for row in rows_of(out)}
    assert set(rows) == expected
    localizer = Localizer.load(exported_tiny_model)
    for (path, page), row in rows.items():
        result = localizer(source / path, page=page)
        assert row["detection_score"] == pytest.approx(result.detection_score, abs=1e-4)
        assert row["notes"] == list(result.notes)
        assert (out / row["mask"]).is_file()
    assert len({row["mask"] for row in rows.values()}) == 6
    assert once().done == 6
    assert len(rows_of(out)) == 6
    summary = (out / "summary.html").read_text()
    assert re.search(r'<td>one page of several</td><td class="number">5</td>', summary)
    assert "three.tif, page 2" in summary


def test_pages_that_were_not_reached_are_gone_on_with(source: Path, exported_tiny_model: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"

    def interrupt(done: int, images: int, row: object) -> None:
        if done == 4:
            raise KeyboardInterrupt

    begun = scan(source, out, model=exported_tiny_model, page="all", workers=1, tell=interrupt)
    assert (begun.done, begun.images, begun.interrupted) == (4, 6, True)
    assert scan(source, out, model=exported_tiny_model, page="all", workers=1).done == 6
    assert len({(row["path"], row["page"]) for row in rows_of(out)}) == len(rows_of(out)) == 6


def test_a_page_by_number_and_what_has_it_not(source: Path, exported_tiny_model: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    run = run_scan(source, "--out", out, "--model", exported_tiny_model, "--page", "2")
    assert run.returncode == 3
    assert "skipped: one.jpg: has one page, and page 2 was asked for [no_such_page]" in run.stderr
    assert {(row["path"], row["page"], row["error_code"]) for row in rows_of(out)} == {
        ("three.tif", 2, None), ("two.gif", 2, None), ("one.jpg", 2, "no_such_page"),
    }  # fmt: skip
    refused = run_scan(source, "--out", out, "--model", exported_tiny_model, "--page", "0")
    assert refused.returncode == 2
    assert "must be a number from 1 on, or all" in refused.stderr


def test_without_a_page_the_first_is_judged_and_said_to_be(
    source: Path, exported_tiny_model: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    run = run_scan(source, "--out", out, "--model", exported_tiny_model)
    assert run.returncode == 0, run.stderr
    assert "2 with notes" in run.stderr
    pages = {row["path"]: (row["page"], row["pages"], row["notes"]) for row in rows_of(out)}
    assert pages == {
        "three.tif": (1, 3, ["page 1 of 3"]), "two.gif": (1, 2, ["page 1 of 2"]), "one.jpg": (1, 1, []),
    }  # fmt: skip
    other = run_scan(source, "--out", out, "--model", exported_tiny_model, "--page", "all")
    assert other.returncode == 2
    assert "holds a scan with page None, and now it is all" in " ".join(other.stderr.split())


def test_content_credentials_are_in_the_rows_and_judged_by_the_anchors_given(
    exported_tiny_model: Path, tmp_path: Path
) -> None:
    pytest.importorskip("c2pa", reason="needs vilaco[report]")
    source, signer = tmp_path / "in", make_signer()
    source.mkdir()
    photo = encoded(make_photo(np.random.default_rng(0), 48, 64), "JPEG")
    (source / "plain.jpg").write_bytes(photo)
    (source / "signed.jpg").write_bytes(sign(photo, signer))
    (tmp_path / "root.pem").write_text(signer.root)
    found = {}
    for name, options in {"unknown": (), "trusted": ("--trust-anchors", tmp_path / "root.pem")}.items():
        out = tmp_path / name
        run = run_scan(source, "--out", out, "--model", exported_tiny_model, "--workers", 1, *options)
        assert run.returncode == 0, run.stderr
        rows = {row["path"]: row["credentials"] for row in rows_of(out)}
        assert rows["plain.jpg"]["status"] == "absent"
        found[name] = rows["signed.jpg"]["intact"], rows["signed.jpg"]["trust"]
    assert found == {"unknown": (True, "not checked"), "trusted": (True, "trusted")}
    summary = (tmp_path / "trusted/summary.html").read_text()
    assert re.search(r'<td>intact, and signed by someone on the trust list</td><td class="number">1</td>', summary)
    assert "1 certificate (SHA-256 " in summary
    other = run_scan(source, "--out", tmp_path / "trusted", "--model", exported_tiny_model)
    assert other.returncode == 2
    assert "holds a scan with trust_anchors 1 certificate (SHA-256 " in " ".join(other.stderr.split())
    assert "BEGIN CERTIFICATE" not in other.stderr
