"""The summary page: what it says, and that it can be opened without harm."""

import base64
import hashlib
import html
import re
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path

import cv2
import numpy as np
import pytest

from vilaco.images import encode_jpeg
from vilaco.scan.judge import ScanSettings
from vilaco.scan.run import scan
from vilaco.scan.summary import BINS, histogram


def settings(authentic: float, decision: float) -> ScanSettings:
    return ScanSettings(
        source="in", model="m", model_fingerprint="f", decision_threshold=decision, authentic_threshold=authentic,
        max_false_alarms=0.05, keep_above=decision, max_pixels=1,
    )  # fmt: skip


def test_bars_hold_every_score_once_and_wear_their_verdict() -> None:
    scores = np.array([0.0, 0.05, 0.05, 0.5, 0.95, 1.0])
    bars = histogram(scores, settings(0.2, 0.8))
    assert sum(int(bar.title.split(": ")[1]) for bar in bars) == len(scores)
    assert [bar.verdict for bar in bars] == ["nothing-found", "nothing-found", "cannot-tell", "tampered", "tampered"]
    assert max(bar.height for bar in bars) == bars[1].height == 2 * bars[0].height
    assert histogram(np.array([]), settings(0.5, 0.5)) == []
    assert len(histogram(np.linspace(0, 1, 500), settings(0.5, 0.5))) == BINS


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("summary")
    source = folder / "in <b>&"
    source.mkdir()
    rng = np.random.default_rng(0)
    for name in ("one", "two", "<img src=x onerror=alert(1)>"):
        coarse = rng.integers(0, 256, (5, 7, 3), dtype=np.uint8)
        pixels = cv2.resize(coarse, (96, 72), interpolation=cv2.INTER_CUBIC)
        (source / f"{name}.jpg").write_bytes(encode_jpeg(pixels, 95))
        if name == "two":
            (source / "two_saved_again.jpg").write_bytes(encode_jpeg(cv2.resize(pixels, (128, 96)), 60))
    (source / "<script>alert(2)</script>.jpg".replace("/", "∕")).write_bytes(b"no picture")
    scan(source, folder / "out", workers=1)
    return (folder / "out/summary.html").read_text()


class Tags(HTMLParser):
    """Every tag, and every value of every attribute, as a browser takes them."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: dict[str, list[str]] = {}

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        for name, value in attributes:
            self.attributes.setdefault(name, []).append(value or "")


def test_it_needs_nothing_and_runs_nothing(page: str) -> None:
    (policy,) = re.findall(r'http-equiv="Content-Security-Policy" content="([^"]+)"', page)
    (style,) = re.findall(r"<style>(.*?)</style>", page, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    assert policy.startswith(f"default-src 'none'; style-src 'sha256-{digest}'; img-src data:;")
    found = Tags()
    found.feed(page)
    assert "script" not in found.tags
    assert [name for name in found.attributes if name.startswith("on") or name in ("style", "href")] == []
    assert {address.split(":")[0] for address in found.attributes["src"]} == {"data"}


def test_it_shows_what_was_found(page: str) -> None:
    text = html.unescape(page)
    assert "in <b>&" in text
    assert page.count('alt="Overlay of ') == 4  # looked at again where no overlay was kept
    (group,) = re.findall(r'<div class="group">.*?</details>', page, re.DOTALL)
    assert {"two.jpg", "two_saved_again.jpg"} == set(re.findall(r'<li class="path">(.*?)</li>', group))
    assert re.search(r"<td>not_an_image</td><td class=\"number\">1</td>", page)


Fill = Callable[[Path, int], Path]


def test_photos_that_have_gone_are_said_to_have_gone(photos: Fill, tmp_path: Path) -> None:
    source = photos(tmp_path / "in", 3)
    scan(source, tmp_path / "out", workers=1)
    (source / "0001.jpg").unlink()
    report = scan(source, tmp_path / "out", workers=1)
    assert (report.images, report.done) == (3, 3)
    assert (tmp_path / "out/summary.html").read_text().count("the file has gone") == 1
