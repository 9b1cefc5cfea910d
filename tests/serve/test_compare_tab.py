"""The page's tab on which a photo is compared with its original, in a real Chromium."""

from pathlib import Path
from typing import Any

import cv2
import httpx2
import numpy as np
import pytest

from browsing import CONTRASTS, DONE, Visit, choose_by_key, right_pane, saved, tab_to
from pictures import make_textured
from vilaco.images import encode_jpeg


@pytest.fixture
def pair(tmp_path: Path) -> tuple[Path, Path]:
    """A JPEG with a changed square, and its original."""
    original = make_textured(np.random.default_rng(0), 300, 400)
    suspect = original.copy()
    suspect[100:150, 60:120] = original[20:70, 220:280]
    files = tmp_path / "posted.jpg", tmp_path / "original.tif"  # the second is of a type that browsers do not show
    files[0].write_bytes(encode_jpeg(suspect, 85))
    cv2.imwrite(str(files[1]), original[..., ::-1])
    return files


def open_tab(page: Any) -> None:
    page.wait_for_selector("#model:not(:empty)")
    page.get_by_role("tab", name="Compare with an original").click()


def test_two_files_are_dropped_and_the_change_is_shown(visit: Visit, pair: tuple[Path, Path]) -> None:
    page = visit.page
    open_tab(page)
    visit.drop(*pair)
    page.wait_for_selector("#comparison .verdict", timeout=DONE)
    assert page.text_content("#comparison .headline") == "One region is changed"
    assert page.locator("#comparison .regions tbody tr").count() == 1
    assert "about quality 85, as its file says" in page.text_content("#comparison .evidence")
    page.wait_for_timeout(500)
    marked = right_pane(page)
    page.get_by_role("button", name="Difference", exact=True).first.click()
    page.wait_for_timeout(300)
    assert (right_pane(page) != marked).any()
    assert page.get_by_role("button", name="Photo in question").get_attribute("aria-pressed") == "false"
    page.get_by_role("button", name="Photo in question").click()
    page.get_by_role("button", name="Region 1").click()
    assert saved(page, "Mask")[:4] == b"\x89PNG"
    assert b"One region is changed" in saved(page, "Report")
    page.get_by_role("button", name="Remove", exact=True).click()
    page.wait_for_selector("#comparison", state="hidden")


def test_a_dropped_file_takes_the_place_it_is_dropped_on(visit: Visit, pair: tuple[Path, Path]) -> None:
    page = visit.page
    open_tab(page)
    page.set_input_files("#original-slot input", str(pair[1]))
    visit.drop(pair[0])  # at 400, 300: on the photo in question
    page.wait_for_selector("#comparison .verdict", timeout=DONE)
    assert page.text_content("#suspect-slot .name") == "posted.jpg"
    other = pair[0].with_name("other.png")
    cv2.imwrite(str(other), make_textured(np.random.default_rng(9), 200, 300))
    page.set_input_files("#suspect-slot input", str(other))
    page.wait_for_selector(".headline:has-text('Not the same picture')", timeout=DONE)
    assert page.locator("#comparison .pane").count() == 0


def test_a_file_that_cannot_be_read_is_named(visit: Visit, pair: tuple[Path, Path]) -> None:
    bad = pair[0].with_name("bad <b>.jpg")
    bad.write_bytes(b"nothing")
    page = visit.page
    open_tab(page)
    page.set_input_files("#suspect-slot input", str(pair[0]))
    page.set_input_files("#original-slot input", str(bad))
    page.wait_for_selector("#comparing-status:has-text('bad <b>.jpg: not a JPEG, PNG')", timeout=DONE)
    empty = pair[0].with_name("empty.jpg")
    empty.write_bytes(b"")
    page.set_input_files("#original-slot input", str(empty))
    page.wait_for_selector("#comparing-status:has-text('empty.jpg: the file is empty.')")
    page.set_input_files("#original-slot input", str(pair[1]))
    page.wait_for_selector("#comparison .verdict", timeout=DONE)


def test_by_keyboard_alone(visit: Visit, pair: tuple[Path, Path]) -> None:
    page = visit.page
    page.wait_for_selector("#model:not(:empty)")
    tab_to(page, "e.id === 'judging-tab'")
    page.keyboard.press("ArrowRight")
    assert page.evaluate("() => document.activeElement.id") == "comparing-tab"
    for name, file in (("Choose photo", pair[0]), ("Choose original", pair[1])):
        tab_to(page, f"e.textContent === '{name}'")
        choose_by_key(page, file)
    page.wait_for_selector("#comparison .verdict", timeout=DONE)
    page.wait_for_timeout(500)
    tab_to(page, "e.classList.contains('panes')")
    fitted = page.text_content("#comparison .zoom")
    page.keyboard.press("+")
    assert page.text_content("#comparison .zoom") != fitted
    tab_to(page, "e.textContent === 'Original, as it should look'")
    page.keyboard.press("Enter")
    page.wait_for_selector("button:has-text('Original, as it should look')[aria-pressed=true]")
    tab_to(page, "e.textContent === 'Remove'")
    page.keyboard.press("Enter")
    page.wait_for_selector("#comparison", state="hidden")
    assert page.evaluate("() => document.activeElement.textContent") == "Choose photo"


@pytest.mark.parametrize(("scheme", "width"), [("light", 390), ("dark", 1280)])
def test_nothing_overflows_and_all_text_can_be_read(
    browser: Any,
    client: httpx2.Client,
    pair: tuple[Path, Path],
    scheme: str,
    width: int,
) -> None:
    visit = Visit(browser, str(client.base_url), color_scheme=scheme, viewport={"width": width, "height": 844})
    page = visit.page
    open_tab(page)
    for slot, file in zip(("suspect", "original"), pair, strict=True):
        page.set_input_files(f"#{slot}-slot input", str(file))
    page.wait_for_selector("#comparison .verdict", timeout=DONE)
    page.wait_for_timeout(300)
    assert page.evaluate("() => document.documentElement.scrollWidth") <= width
    for selector in (".headline", ".quiet", "[role=tab]", "button.primary", "summary", "dt"):
        assert all(contrast >= 4.5 for contrast in page.evaluate(CONTRASTS, selector)), selector
    visit.context.close()
    assert visit.complaints == []
