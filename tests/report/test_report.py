"""Reports as files, and what strangers' names and metadata cannot do to them."""

import base64
import hashlib
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

import cv2
import numpy as np
import pytest

from cases import EVIL, JUDGE, make_case, make_jpeg
from vilaco.calibration import RegionThresholds
from vilaco.errors import ConfigError, DataError, ImageError
from vilaco.images import load_photo
from vilaco.report import Case, ReportWriter, render_case, write_report
from vilaco.report.views import PHOTO_SIDE
from vilaco.report.words import put_in_words
from vilaco.result import Result


class Page(HTMLParser):
    """What a browser would find in a page."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.texts.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.texts).split())

    def named(self, tag: str) -> list[dict[str, str | None]]:
        return [attrs for found, attrs in self.tags if found == tag]


@pytest.mark.parametrize(
    ("score", "headline", "rate"),
    [
        (0.9, "Judged tampered", "at most 5% (1 in 20) of authentic photos like the 1,234"),
        (0.5, "Cannot tell", "at most 5% (1 in 20)"),
        (0.3, "Nothing found", "is not above 0.300."),
    ],
)
def test_the_verdict_is_put_in_words_with_its_rate(score: float, headline: str, rate: str) -> None:
    case = make_case(score=score)
    words = put_in_words(case)
    assert words.headline == headline
    assert rate in " ".join(words.meaning)
    page = Page(render_case(case))
    assert headline in page.text
    for sentence in (*words.meaning, *words.limits):
        assert sentence in page.text


@pytest.mark.parametrize(
    ("score", "spot", "headline", "meaning"),
    [
        (0.3, 0.7, "Nothing found", "as on most authentic photos like the 1,234 it was calibrated on, and no region"),
        (0.3, 0.8, "Cannot tell", "A region stands out (weak), but the score 0.300 of the whole photo speaks against"),
        (0.3, 0.95, "Cannot tell", "A region stands out (strong), but"),
        (0.5, 0.7, "Cannot tell", "is higher than on most authentic photos, but not above 0.800"),
        (0.5, 0.7, "Cannot tell", "No single region stands out."),
        (0.5, 0.8, "Cannot tell", "A region stands out as well."),
        (0.9, 0.7, "Judged tampered", "at most 5% (1 in 20) of authentic photos"),
    ],
)
def test_regions_have_a_say_in_the_words(score: float, spot: float, headline: str, meaning: str) -> None:
    case = make_case(score=score, spot=spot, regions=RegionThresholds(weak=0.75, strong=0.9))
    words = put_in_words(case)
    assert words.headline == headline
    assert meaning in " ".join(words.meaning)
    page = Page(render_case(case))
    drawn = spot > 0.75
    assert ("so nothing is drawn on the photo" in page.text) == (not drawn)
    assert ("no region of the map has evidence above 0.750" in page.text) == (not drawn)
    assert [word in page.text for word in ("weak above 0.75", "strong above 0.9")] == [True, True]
    decoded = [cv2.imdecode(np.frombuffer(view, np.uint8), 1) for view in (case.views.overlay, case.views.photo)]
    assert (np.abs(decoded[0].astype(int) - decoded[1]).mean() > 5) == drawn
    assert (cv2.imdecode(np.frombuffer(case.views.mask, np.uint8), 0) > 0).mean() == (1 / 8 if drawn else 0)


def test_a_model_without_calibration_promises_nothing() -> None:
    judge = JUDGE.model_copy(update={"max_false_alarms": None, "missed": None, "calibration_pictures": None})
    text = Page(render_case(make_case(judge=judge))).text
    assert "how often it is wrong is not known" in text
    assert "1 in" not in text


def test_the_record_is_complete() -> None:
    data = make_jpeg(Software="GIMP 2.10")
    case = make_case(data)
    text = Page(render_case(case)).text
    for fact in (hashlib.sha256(data).hexdigest(), JUDGE.fingerprint, JUDGE.version, "0.900000", "GIMP", "quality 75"):
        assert fact in text
    [region] = case.row.regions
    assert f"{region.area:,} px" in text
    assert "upper left" in text
    assert "96 × 72" in text


def test_names_and_metadata_are_text_and_nothing_else() -> None:
    case = make_case(
        make_jpeg(Software=EVIL, ImageDescription=f'"><img src=x onerror=alert(1)>{EVIL}'), name=f'"{EVIL}.jpg'
    )
    for interactive in (True, False):
        page = Page(render_case(case, interactive=interactive))
        assert len(page.named("script")) == int(interactive)
        assert all(str(image["src"]).startswith("data:image/") for image in page.named("img"))
        assert not any(name.startswith("on") for _, attrs in page.tags for name in attrs)
        assert page.text.count(EVIL) >= 3


def test_the_policy_allows_the_pages_own_script_and_style_and_nothing_more(tmp_path: Path) -> None:
    write_report(tmp_path / "many.html", [make_case(name="a"), make_case(name="b")])
    for file in (tmp_path / "many.html", tmp_path / "many-cases/0001-a.html"):
        page = file.read_text()
        [policy] = [meta["content"] for meta in Page(page).named("meta") if "http-equiv" in meta]
        rules = dict(rule.strip().split(" ", 1) for rule in str(policy).split(";"))
        assert rules.pop("default-src") == rules.pop("base-uri") == rules.pop("form-action") == "'none'"
        assert rules.pop("img-src") == "data:"
        for tag in ("script", "style"):
            [body] = re.findall(rf"<{tag}>(.*?)</{tag}>", page, re.DOTALL)
            digest = base64.b64encode(hashlib.sha256(body.encode()).digest()).decode()
            assert rules.pop(f"{tag}-src") == f"'sha256-{digest}'"
        assert rules == {}
        assert not re.search(r"\sstyle=|\son\w+=", page)
        assert not any("http" in str(attrs.get("src") or attrs.get("href")) for _, attrs in Page(page).tags)


def test_large_photos_are_reduced_and_the_numbers_are_of_the_full_one() -> None:
    case = make_case(make_jpeg(1500, 2400))
    assert max(case.views.width, case.views.height) == PHOTO_SIDE
    assert cv2.imdecode(np.frombuffer(case.views.photo, np.uint8), cv2.IMREAD_COLOR).shape == (1000, 1600, 3)
    assert case.row.regions[0].area == 750 * 600
    text = Page(render_case(case)).text
    assert "Shown at 1600 × 1000 pixels" in text
    assert "full 2400 × 1500 pixels" in text


@pytest.mark.parametrize("values", [0.5, 0.5001, 0.4999])
def test_the_map_shown_is_above_the_threshold_where_the_map_is(values: float) -> None:
    photo = load_photo(np.zeros((20, 30, 3), np.uint8))
    result = Result.from_map(photo, np.full((20, 30), values), 0.5, model="m", seconds=0)
    case = Case.build(photo, result, JUDGE, source=None)
    shown = cv2.imdecode(np.frombuffer(case.views.map, np.uint8), cv2.IMREAD_UNCHANGED)
    np.testing.assert_array_equal(shown > 127.5, result.pred_mask)


@pytest.mark.parametrize("size", [(1, 1), (1, 3000), (3000, 1), (15, 15), (16, 16)])
def test_odd_sizes_and_pixels_without_a_file(size: tuple[int, int]) -> None:
    photo = load_photo(np.full((*size, 3), 200, np.uint8))
    result = Result.from_map(photo, np.ones(size), 1.0, model="m", seconds=0)
    page = Page(render_case(Case.build(photo, result, JUDGE, source=None, name="pixels")))
    assert "without a file" in page.text
    assert "100.00%" in page.text


def test_a_case_survives_json() -> None:
    case = make_case(make_jpeg(Software="x"))
    assert Case.model_validate_json(case.model_dump_json()) == case


def test_one_photo_is_one_file(tmp_path: Path) -> None:
    write_report(tmp_path / "case.html", [make_case()])
    assert [file.name for file in tmp_path.iterdir()] == ["case.html"]


def test_many_are_an_index_with_a_link_to_each(tmp_path: Path) -> None:
    names = ["b/same.jpg", "c/same.jpg", "../../etc/passwd", f"{EVIL}.jpg", "ü \n💡 \udcff.jpg", "." * 300]
    scores = [0.1, 0.95, 0.5, 0.85, 0.7, 0.2]
    failure = ImageError(f"bad {EVIL}.jpg", "the file is empty", code="empty")
    cases = (make_case(name=name, score=score) for name, score in zip(names, scores, strict=True))
    write_report(tmp_path / "out/in box?.html", cases, failures=[failure])
    page = Page((tmp_path / "out/in box?.html").read_text())
    assert len(page.named("script")) == 1
    links = [str(link["href"]) for link in page.named("a") if str(link["href"]).endswith(".html")]
    files = sorted((tmp_path / "out/in box?-cases").iterdir())
    assert len(links) == len(files) == len(names)
    for link in links:
        target = tmp_path / "out" / link.replace("%20", " ").replace("%3F", "?")
        assert target in files
        back = str(Page(target.read_text()).named("a")[0]["href"])
        assert back == "../in%20box%3F.html"
    order = [float(str(row["data-score"])) for row in page.named("tr") if "data-score" in row]
    assert order == [0.95, 0.85, 0.7, 0.5, 0.2, 0.1]
    assert f"bad {EVIL}.jpg" in page.text
    assert "2 tampered" in page.text
    assert sorted(tmp_path.iterdir()) == [tmp_path / "out"]


def test_reports_of_another_run_are_not_mixed_in(tmp_path: Path) -> None:
    write_report(tmp_path / "case.html", [make_case(), make_case()])
    with pytest.raises(DataError, match="case-cases: exists"):
        ReportWriter(tmp_path / "case.html", many=True)


def test_an_interrupted_run_leaves_an_index_of_what_is_done(tmp_path: Path) -> None:
    def judged() -> Iterator[Case]:
        yield make_case(name="done.jpg")
        yield make_case(name="done too.jpg")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_report(tmp_path / "case.html", judged())
    assert "2 photos judged" in Page((tmp_path / "case.html").read_text()).text


def test_other_endings_and_nothing_at_all_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"ends in \.html or \.pdf"):
        write_report(tmp_path / "case.docx", [make_case()])
    with pytest.raises(DataError, match="nothing to report"):
        write_report(tmp_path / "case.html", [])


def test_hints_name_what_is_worth_a_look(tmp_path: Path) -> None:
    write_report(tmp_path / "many.html", [make_case(make_jpeg(Software="Adobe Photoshop 25")), make_case()])
    assert Page((tmp_path / "many.html").read_text()).text.count("Adobe Photoshop") == 1


def test_the_example_of_the_docs_runs(tmp_path: Path) -> None:
    root = Path(__file__).parents[2]
    [code] = re.findall(r"^```python\n(.*?)^```", (root / "docs/reports.md").read_text(), re.DOTALL | re.MULTILINE)
    shutil.copytree(root / "examples/photos", tmp_path / "examples/photos")
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=True)
    assert "2 photos judged" in (tmp_path / "demo-out/report.html").read_text()
