"""Whole searches, as a user meets them: what is found, what is lost when it is killed, what bad files are told."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

from pictures import make_textured
from scan_runs import run_cli
from vilaco.errors import ConfigError, DataError
from vilaco.images import encode_jpeg, encode_png, resize_pixels
from vilaco.reuse.run import ReuseReport, reuse

pytest.importorskip("faiss", reason="needs vilaco[reuse]")


def pairs(out: Path) -> dict[tuple[str, str], dict[str, Any]]:
    found = [json.loads(line) for line in (out / "pairs.jsonl").read_text().splitlines()]
    return {(Path(pair["first"]).name, Path(pair["second"]).name): pair for pair in found}


def sure(out: Path) -> set[tuple[str, str]]:
    return {key for key, pair in pairs(out).items() if pair["strength"] == "strong"}


def fill(folder: Path) -> Path:
    """Four pictures, a copy of one, a region of another in a third, an identical file, and what cannot be compared."""
    folder.mkdir()
    plain = [make_textured(np.random.default_rng(seed), 200, 260) for seed in range(4)]
    host = plain[3].copy()
    host[40:140, 60:180] = plain[2][80:180, 20:140]
    files = {f"p{number}.jpg": encode_jpeg(pixels, 92) for number, pixels in enumerate(plain[:3])}
    files["copy.jpg"] = encode_jpeg(resize_pixels(plain[0], (140, 182)), 75)
    files["host.jpg"] = encode_jpeg(host, 85)
    files["twin.jpg"] = files["p1.jpg"]
    files["blank.png"] = encode_png(np.full((40, 40), 255, np.uint8))
    files["blank2.png"] = encode_png(np.full((60, 40), 250, np.uint8))
    files["dot.png"] = encode_png(np.zeros((1, 1), np.uint8))
    files["broken.jpg"] = files["p0.jpg"][:300]
    for name, data in files.items():
        (folder / name).write_bytes(data)
    return folder


TRUE = {("copy.jpg", "p0.jpg"), ("host.jpg", "p2.jpg"), ("p1.jpg", "twin.jpg")}


@pytest.fixture(scope="module")
def searched(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, ReuseReport]:
    root = tmp_path_factory.mktemp("reuse")
    photos = fill(root / "photos")
    return photos, root / "out", reuse([photos], root / "out", workers=1)


def test_what_is_there_is_found_and_nothing_else(searched: tuple[Path, Path, ReuseReport]) -> None:
    _, out, report = searched
    assert sure(out) == TRUE
    found = pairs(out)
    assert found["copy.jpg", "p0.jpg"]["kind"] == "copy"
    assert found["host.jpg", "p2.jpg"]["kind"] == "shared region"
    assert found["p1.jpg", "twin.jpg"]["same_file"] is True
    assert report.pictures == 10
    assert report.pairs["strong"] == 3
    assert sum(report.failures.values()) == 1
    groups = json.loads((out / "groups.json").read_text())
    assert [sorted(Path(path).name for path in group) for group in groups] == [
        ["copy.jpg", "p0.jpg"],
        ["p1.jpg", "twin.jpg"],
    ]


def test_the_table_says_the_same(searched: tuple[Path, Path, ReuseReport]) -> None:
    _, out, _ = searched
    rows = pq.read_table(out / "pairs.parquet").to_pylist()
    assert [row["id"] for row in rows] == [
        json.loads(line)["id"] for line in (out / "pairs.jsonl").read_text().splitlines()
    ]
    shared = next(row for row in rows if row["kind"] == "shared region")
    assert json.loads(shared["regions"])[0]["first"]["box"] == shared["first_box"]


def test_each_pair_has_a_report_and_the_page_links_it(searched: tuple[Path, Path, ReuseReport]) -> None:
    _, out, _ = searched
    page = (out / "summary.html").read_text()
    for pair in pairs(out).values():
        assert f'href="reports/{pair["id"]}.html"' in page
        text = (out / "reports" / f"{pair['id']}.html").read_text()
        assert "What this does not mean" in text
        assert "forged" not in text.lower()
    assert "forged" not in page.lower()
    assert "broken.jpg" in page


def test_again_nothing_is_left_to_do(searched: tuple[Path, Path, ReuseReport]) -> None:
    photos, out, report = searched
    before = (out / "pairs.jsonl").read_bytes()
    stages: dict[str, list[tuple[int, int]]] = {}
    again = reuse(
        [photos], out, workers=1, tell=lambda stage, done, total, *_: stages.setdefault(stage, []).append((done, total))
    )
    assert again == report
    assert (out / "pairs.jsonl").read_bytes() == before
    assert stages["describing"] == [(10, 10)]
    assert "looking up" not in stages


def test_what_comes_later_is_found_among_what_was_there(tmp_path: Path) -> None:
    photos = fill(tmp_path / "photos")
    late = (photos / "copy.jpg").read_bytes()
    (photos / "copy.jpg").unlink()
    reuse([photos], tmp_path / "out", workers=1)
    assert ("copy.jpg", "p0.jpg") not in sure(tmp_path / "out")
    (photos / "copy.jpg").write_bytes(late)
    reuse([photos], tmp_path / "out", workers=1)
    assert sure(tmp_path / "out") == TRUE
    (photos / "p1.jpg").unlink()
    reuse([photos], tmp_path / "out", workers=1)
    assert sure(tmp_path / "out") == TRUE - {("p1.jpg", "twin.jpg")}


def test_against_a_known_collection_only_pairs_with_it_count(tmp_path: Path) -> None:
    known = fill(tmp_path / "known")
    new = tmp_path / "new"
    new.mkdir()
    pixels = make_textured(np.random.default_rng(1), 200, 260)
    (new / "a.jpg").write_bytes(encode_jpeg(pixels, 70))
    (new / "b.jpg").write_bytes(encode_jpeg(np.ascontiguousarray(pixels[:, ::-1]), 80))
    reuse([new], tmp_path / "out", against=[known], workers=1)
    assert sure(tmp_path / "out") == {
        ("p1.jpg", "a.jpg"),
        ("twin.jpg", "a.jpg"),
        ("p1.jpg", "b.jpg"),
        ("twin.jpg", "b.jpg"),
    }
    assert pairs(tmp_path / "out")["p1.jpg", "b.jpg"]["regions"][0]["mirrored"] is True


def test_one_picture_alone(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(encode_jpeg(make_textured(np.random.default_rng(0), 100, 100), 90))
    report = reuse([tmp_path / "a.jpg"], tmp_path / "out", workers=1)
    assert report.pairs == {}
    assert "Nothing was found twice" in (tmp_path / "out" / "summary.html").read_text()


def test_many_frames_are_one_group(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    pixels = make_textured(rng, 120, 160)
    (tmp_path / "frames").mkdir()
    for number in range(30):
        noisy = np.clip(pixels + rng.normal(0, 1, pixels.shape), 0, 255).astype(np.uint8)
        (tmp_path / "frames" / f"{number:03d}.jpg").write_bytes(encode_jpeg(noisy, 90))
    report = reuse([tmp_path / "frames"], tmp_path / "out", workers=1)
    groups = json.loads((tmp_path / "out" / "groups.json").read_text())
    assert [len(group) for group in groups] == [30]
    assert report.pairs["strong"] <= 30 * 26


def test_identical_files_are_one_group_and_looked_at_once(tmp_path: Path) -> None:
    data = encode_jpeg(make_textured(np.random.default_rng(0), 100, 120), 90)
    (tmp_path / "files").mkdir()
    for number in range(40):
        (tmp_path / "files" / f"{number:03d}.jpg").write_bytes(data)
    (tmp_path / "files" / "other.jpg").write_bytes(encode_jpeg(make_textured(np.random.default_rng(0), 100, 120), 60))
    report = reuse([tmp_path / "files"], tmp_path / "out", workers=1)
    assert [len(group) for group in json.loads((tmp_path / "out" / "groups.json").read_text())] == [41]
    assert 40 <= report.pairs["strong"] < 50  # each with the first of its kind, and a few of them with the other
    assert report.failures == {}


def test_every_kind_of_pixels_is_compared_and_the_rest_is_named(tmp_path: Path) -> None:
    pixels = make_textured(np.random.default_rng(0), 160, 200)
    folder = tmp_path / "files"
    folder.mkdir()
    colour = Image.fromarray(pixels)
    colour.save(folder / "a.png")
    colour.convert("L").save(folder / "grey.png")
    colour.convert("CMYK").save(folder / "inks.jpg", quality=95)
    Image.fromarray(cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY).astype(np.uint16) * 257).save(folder / "deep.png")
    Image.new("RGB", (1, 3000)).save(folder / "line.png")
    data = encode_jpeg(pixels, 90)
    (folder / "cut.jpg").write_bytes(data[: len(data) // 2])
    (folder / "empty.jpg").write_bytes(b"")
    (folder / "text.jpg").write_text("no picture")
    told: dict[str, str] = {}

    def tell(stage: str, done: int, total: int, path: str | None, problem: tuple[str, str] | None) -> None:
        if path is not None and problem is not None:
            told[Path(path).name] = problem[0]
            assert "--" not in problem[1]  # of an option that other commands have

    reuse([folder], tmp_path / "out", workers=1, tell=tell)
    assert told == {"cut.jpg": "truncated", "empty.jpg": "empty", "text.jpg": "not_an_image"}
    (group,) = json.loads((tmp_path / "out" / "groups.json").read_text())
    assert sorted(Path(path).name for path in group) == ["a.png", "deep.png", "grey.png", "inks.jpg"]


@pytest.mark.parametrize(("pages", "strength"), [(3, "strong"), (6, "moderate")])
def test_what_lies_in_many_pictures_is_a_logo(tmp_path: Path, pages: int, strength: str) -> None:
    logo = make_textured(np.random.default_rng(99), 80, 90)
    (tmp_path / "pages").mkdir()
    for number in range(pages):
        page = make_textured(np.random.default_rng(number), 240, 300)
        page[20:100, 30 + 10 * number : 120 + 10 * number] = logo
        (tmp_path / "pages" / f"{number}.jpg").write_bytes(encode_jpeg(page, 90))
    reuse([tmp_path / "pages"], tmp_path / "out", workers=1)
    found = pairs(tmp_path / "out")
    assert len(found) == pages * (pages - 1) // 2
    assert {pair["strength"] for pair in found.values()} == {strength}
    assert {region["recurs"] for pair in found.values() for region in pair["regions"]} == {pages}
    report = (tmp_path / "out" / "reports" / f"{next(iter(found.values()))['id']}.html").read_text()
    assert ("as logos, page headers" in report) == (strength == "moderate")


def test_frames_of_one_film_that_share_a_region_count_once(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    part = make_textured(rng, 100, 110)
    (tmp_path / "files").mkdir()
    film, other = make_textured(rng, 240, 300), make_textured(rng, 240, 300)
    film[20:120, 30:140] = other[100:200, 150:260] = part
    for number in range(6):
        noisy = np.clip(film + rng.normal(0, 1, film.shape), 0, 255).astype(np.uint8)
        (tmp_path / "files" / f"{number}.jpg").write_bytes(encode_jpeg(noisy, 90))
    (tmp_path / "files" / "other.jpg").write_bytes(encode_jpeg(other, 90))
    reuse([tmp_path / "files"], tmp_path / "out", workers=1)
    shared = [pair for pair in pairs(tmp_path / "out").values() if pair["kind"] == "shared region"]
    assert shared
    assert {(pair["strength"], pair["regions"][0]["recurs"]) for pair in shared} == {("strong", 2)}


def test_killed_again_and_again_it_finds_the_same(tmp_path: Path, searched: tuple[Path, Path, ReuseReport]) -> None:
    photos, whole, _ = searched
    out = tmp_path / "out"
    command = [sys.executable, "-m", "vilaco", "reuse", str(photos), "--out", str(out), "--workers", "1"]
    kills = 0
    for wait in (0.2, 0.6, 1.2, 2.0, 3.0):
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        journal = out / "pictures" / "journal.jsonl"
        until = time.monotonic() + 60
        while not journal.exists() and process.poll() is None and time.monotonic() < until:
            time.sleep(0.05)
        time.sleep(wait)
        if process.poll() is None:
            os.kill(process.pid, signal.SIGKILL)
            kills += 1
        process.wait()
    assert kills
    reuse([photos], out, workers=1)
    assert (out / "pairs.jsonl").read_bytes() == (whole / "pairs.jsonl").read_bytes()
    assert not list(out.rglob("*.tmp"))


def test_refusals(tmp_path: Path, searched: tuple[Path, Path, ReuseReport]) -> None:
    photos, out, _ = searched
    with pytest.raises(DataError, match="lies inside"):
        reuse([photos], photos / "out")
    with pytest.raises(DataError, match="no such file or folder"):
        reuse([tmp_path / "nothing"], tmp_path / "out")
    with pytest.raises(ConfigError, match="holds a search for reuse with max_pixels 100000000, and now it is 5"):
        reuse([photos], out, max_pixels=5)


def test_the_command(tmp_path: Path) -> None:
    photos = fill(tmp_path / "photos")
    done = run_cli("reuse", photos, "--out", tmp_path / "out", "--workers", "1", "--json")
    assert done.returncode == 3
    assert "broken.jpg" in done.stderr
    assert done.stderr.count("skipped") == 2
    assert "3 strong pairs" in done.stderr
    assert json.loads(done.stdout)["pairs"]["strong"] == 3
    options = ("--max-failure-rate", "0.5", "--fail-on", "strong")
    assert run_cli("reuse", photos, "--out", tmp_path / "out", *options).returncode == 1
    wrong = run_cli("reuse", photos, "--out", tmp_path / "out", "--fail-on", "sure")
    assert wrong.returncode == 2
    assert "strong, moderate, weak" in " ".join(wrong.stderr.split())


def test_names_that_nobody_would_choose(tmp_path: Path) -> None:
    pixels = make_textured(np.random.default_rng(0), 160, 200)
    names = [b"two\nlines.jpg", b"caf\xe9.jpg"]
    for name, quality in zip(names, (90, 60), strict=True):
        (tmp_path / "photos").mkdir(exist_ok=True)
        with open(os.path.join(os.fsencode(tmp_path / "photos"), name), "wb") as file:
            file.write(encode_jpeg(pixels, quality))
    reuse([tmp_path / "photos"], tmp_path / "out", workers=1)
    assert sure(tmp_path / "out") == {("caf\\xe9.jpg", "two\nlines.jpg")}
