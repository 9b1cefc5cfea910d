"""Reports in a real browser, opened from disk as a colleague would."""

from pathlib import Path
from typing import Any

import pytest

from cases import EVIL, make_case, make_jpeg
from vilaco.calibration import RegionThresholds
from vilaco.report import write_report


class Visit:
    """An open page, with what it asked for and complained of."""

    def __init__(self, browser: Any, file: Path, **options: Any) -> None:
        self.complaints: list[str] = []
        self.requests: list[str] = []
        self.page = browser.new_page(**options)
        self.page.on("console", lambda message: self.complaints.append(message.text))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("dialog", lambda dialog: self.complaints.append(dialog.message))
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.goto(file.as_uri())

    def close(self) -> None:
        assert self.complaints == []
        assert [url for url in self.requests[1:] if not url.startswith("data:")] == []
        self.page.close()


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("report") / "case.html"
    write_report(file, [make_case(make_jpeg(300, 400, Software=EVIL), name=f'"><img src=x onerror=alert(1)>{EVIL}')])
    return file


def share_of_tint(page: Any) -> float:
    return page.evaluate("""() => {
        const canvas = document.getElementById("overlay");
        const pixels = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data;
        let count = 0;
        for (let i = 3; i < pixels.length; i += 4) count += pixels[i] > 0;
        return count / (canvas.width * canvas.height);
    }""")


def slide(page: Any, name: str, value: int) -> None:
    page.locator(f"#{name}").fill(str(value))


def test_the_sliders_act_on_the_map(browser: Any, report: Path) -> None:
    visit = Visit(browser, report)
    page = visit.page
    page.wait_for_selector("#overlay:not([hidden])")
    assert share_of_tint(page) == pytest.approx(1 / 8, abs=0.01)  # the spot is half as high and a quarter as wide
    assert page.locator("#live").inner_text().startswith("12.5")
    slide(page, "threshold", 90)  # the spot is at 0.8
    assert page.locator("#live").inner_text() == "0.00% of the photo is above 0.90; the list below is for 0.50."
    slide(page, "opacity", 0)
    assert share_of_tint(page) == 0
    visit.close()


def test_what_does_not_stand_out_is_drawn_only_when_asked_for(browser: Any, tmp_path: Path) -> None:
    limits = RegionThresholds(weak=0.75, strong=0.9)
    cases = {"quiet.html": 0.7, "drawn.html": 0.8}
    for name, spot in cases.items():
        write_report(tmp_path / name, [make_case(make_jpeg(300, 400), score=0.1, spot=spot, regions=limits)])
        visit = Visit(browser, tmp_path / name)
        visit.page.wait_for_selector("#overlay:not([hidden])")
        assert share_of_tint(visit.page) == pytest.approx(1 / 8 if spot > limits.weak else 0, abs=0.01)
        visit.page.get_by_label("Whole map").check()
        assert share_of_tint(visit.page) == pytest.approx(1 / 8, abs=0.01)
        visit.page.get_by_label("Whole map").uncheck()
        assert share_of_tint(visit.page) == pytest.approx(1 / 8 if spot > limits.weak else 0, abs=0.01)
        visit.close()


def test_a_region_is_shown_where_it_is(browser: Any, report: Path) -> None:
    visit = Visit(browser, report)
    page = visit.page
    page.locator("button.show").first.click()
    marker, photo = page.locator("#marker").bounding_box(), page.locator("#photo").bounding_box()
    assert marker["width"] == pytest.approx(photo["width"] / 4, abs=1)
    assert marker["height"] == pytest.approx(photo["height"] / 2, abs=1)
    page.locator("button.show").first.click()
    assert page.locator("#marker").is_hidden()
    page.get_by_role("button", name="3:1").click()
    assert page.locator("#photo").bounding_box()["width"] == pytest.approx(1200, abs=1)
    visit.close()


def test_without_scripts_the_map_is_still_seen(browser: Any, report: Path) -> None:
    visit = Visit(browser, report, java_script_enabled=False)
    assert visit.page.locator("img.without-script").is_visible()
    assert visit.page.locator(".tools").is_hidden()
    assert visit.page.get_by_text("Scripts are off here").is_visible()
    visit.close()


@pytest.mark.parametrize("width", [390, 1200])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_nothing_runs_out_of_the_page(browser: Any, report: Path, width: int, scheme: str) -> None:
    visit = Visit(browser, report, viewport={"width": width, "height": 800}, color_scheme=scheme)
    assert visit.page.evaluate("document.documentElement.scrollWidth") <= width
    visit.close()


def test_an_index_is_sorted_by_its_headings_and_leads_to_each_case(browser: Any, tmp_path: Path) -> None:
    scores = {"photo10.jpg": 0.1, "photo9.jpg": 0.95, f"{EVIL}.jpg": 0.5}
    write_report(tmp_path / "many.html", (make_case(name=name, score=score) for name, score in scores.items()))
    visit = Visit(browser, tmp_path / "many.html")
    page = visit.page

    def names() -> list[str]:
        return page.locator("td.name").all_inner_texts()

    assert names() == ["photo9.jpg", f"{EVIL}.jpg", "photo10.jpg"]
    page.get_by_role("button", name="Photo").click()
    assert names() == [f"{EVIL}.jpg", "photo9.jpg", "photo10.jpg"]
    page.get_by_role("button", name="Photo").click()
    assert names() == ["photo10.jpg", "photo9.jpg", f"{EVIL}.jpg"]
    assert page.locator("th[aria-sort=descending]").inner_text().startswith("Photo")
    page.get_by_role("button", name="Score").click()
    assert names()[0] == "photo9.jpg"
    visit.close()
    visit = Visit(browser, tmp_path / "many.html")
    visit.page.get_by_role("link", name="photo10.jpg").click()
    assert visit.page.get_by_role("heading", name="Nothing found").is_visible()
    visit.page.get_by_role("link", name="All photos").click()
    assert visit.page.get_by_role("heading", name="3 photos judged").is_visible()
    assert visit.complaints == []
    visit.page.close()
