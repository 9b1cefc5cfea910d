"""The page in a real Chromium, as a person meets it."""

import base64
import csv
import io
from pathlib import Path
from typing import Any

import cv2
import httpx2
import numpy as np
import pytest
from PIL import Image

from browsing import CONTRASTS, DONE, Visit, choose_by_key, right_pane, saved, tab_to
from pictures import make_photo, make_textured
from serving import TOKEN, photo_bytes, served
from vilaco.data.boxes import Box, box_fault
from vilaco.data.formats.manifest import read_manifest
from vilaco.images import encode_jpeg
from vilaco.localizer import Localizer

DROP = """([name, base64, type]) => {
  const bytes = Uint8Array.from(atob(base64), (letter) => letter.charCodeAt(0));
  const transfer = new DataTransfer();
  transfer.items.add(new File([bytes], name, { type }));
  const event = name === "pasted.png"
    ? new ClipboardEvent("paste", { clipboardData: transfer, bubbles: true })
    : new DragEvent("drop", { dataTransfer: transfer, bubbles: true, cancelable: true });
  document.body.dispatchEvent(event);
}"""


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    file = tmp_path / "beach, 1.jpg"
    file.write_bytes(photo_bytes(5, 240, 320))
    return file


def decoded_mask(page: Any) -> np.ndarray:
    return np.asarray(cv2.imdecode(np.frombuffer(saved(page, "Mask"), np.uint8), cv2.IMREAD_UNCHANGED))


def test_choose_slide_zoom_download(visit: Visit, photo: Path, client: httpx2.Client, localizer: Localizer) -> None:
    page = visit.page
    visit.choose(photo)
    page.wait_for_selector(".verdict", timeout=DONE)
    expected = localizer(photo)
    assert expected.verdict in page.text_content(".list .state")
    assert f"score {expected.detection_score:.3f}" in page.text_content(".scale")
    assert page.locator(".regions tbody tr").count() == len(expected.regions)
    page.wait_for_timeout(500)
    sliders = page.get_by_role("slider")
    assert sliders.nth(1).is_disabled()
    assert ("Nothing stands out." in page.text_content(".regions")) == (not expected.regions)
    np.testing.assert_array_equal(decoded_mask(page) > 0, expected.pred_mask)
    page.get_by_label("Whole map").check()
    threshold = float(np.median(expected.localization_map))
    sliders.nth(1).fill(str(round(100 * threshold)))
    page.wait_for_timeout(1000)
    assert page.locator(".regions tbody tr").count() > 0
    mask = decoded_mask(page)
    assert mask.shape == (240, 320)
    np.testing.assert_allclose((mask > 0).mean(), (expected.localization_map > round(threshold, 2)).mean(), atol=0.01)
    with_outline = right_pane(page)
    sliders.nth(1).fill("100")
    page.wait_for_timeout(500)
    assert "Nothing on the map is above" in page.text_content(".regions")
    without = right_pane(page)
    assert (with_outline != without).any()
    page.get_by_label("Whole map").uncheck()
    page.wait_for_timeout(500)
    assert page.locator(".regions tbody tr").count() == len(expected.regions)
    np.testing.assert_array_equal(decoded_mask(page) > 0, expected.pred_mask)
    sliders.nth(0).fill("0")
    page.get_by_role("button", name="Side by side").click()
    page.get_by_role("button", name="Fit").click()
    before = page.text_content(".zoom")
    page.get_by_role("button", name="Zoom in").click()
    assert page.text_content(".zoom") != before
    assert saved(page, "Map")[:4] == b"\x89PNG"
    assert saved(page, "Overlay")[:2] == b"\xff\xd8"


@pytest.mark.parametrize("name", ["dropped.png", "pasted.png"])
def test_drop_and_paste(visit: Visit, name: str) -> None:
    visit.page.wait_for_selector("#model:not(:empty)")
    visit.page.evaluate(DROP, [name, base64.b64encode(photo_bytes(ending=".png")).decode(), "image/png"])
    visit.page.wait_for_selector(".verdict", timeout=DONE)
    assert visit.page.text_content(".item .name") == name


def test_a_bad_file_is_named_and_the_others_go_on(visit: Visit, photo: Path, tmp_path: Path) -> None:
    bad = tmp_path / "bad <b>name<b>.jpg"
    bad.write_bytes(b"nothing")
    large = tmp_path / "large.png"
    large.write_bytes(bytes(3 << 20))
    visit.choose(bad, large, photo)
    visit.wait_until_done()
    page = visit.page
    assert page.text_content("#status") == "3 of 3 photos done, 2 could not be judged"
    page.get_by_role("button", name="bad <b>name<b>.jpg").click()
    assert "This photo could not be read: " in page.text_content("#detail")
    assert "not a JPEG, PNG" in page.text_content("#detail")
    page.get_by_role("button", name="large.png").click()
    assert "This photo is too large: larger than 2 MB." in page.text_content("#detail")


def test_a_limit_below_a_megabyte_is_said(browser: Any, localizer: Localizer) -> None:
    with served(localizer, max_body_mb=0.5) as client:
        visit = Visit(browser, str(client.base_url))
        visit.page.wait_for_selector("#model:not(:empty)")
        assert "up to 0.5 MB and" in visit.page.text_content("#limits")
        visit.context.close()


LOSE = """() => {
  const { webkitGetAsEntry } = DataTransferItem.prototype;
  DataTransferItem.prototype.webkitGetAsEntry = function () {
    const folder = webkitGetAsEntry.call(this);
    const reader = folder.createReader();
    const readEntries = (found) => reader.readEntries((entries) => lose().then(() => found(entries)));
    folder.createReader = () => ({ readEntries });
    return folder;
  };
}"""


def test_what_the_browser_cannot_open_is_named_and_the_others_go_on(visit: Visit, photo: Path) -> None:
    gone = photo.parent / "gone.jpg"
    gone.write_bytes(photo.read_bytes())
    visit.page.expose_function("lose", lambda: gone.unlink(missing_ok=True))  # between the listing and the opening
    visit.page.evaluate(LOSE)
    visit.drop(photo.parent)
    visit.page.wait_for_selector(".item")
    visit.wait_until_done()
    assert visit.page.text_content("#status") == "2 of 2 photos done, 1 could not be judged"
    visit.page.get_by_role("button", name="gone.jpg").click()
    assert "This photo could not be read: the browser cannot open it." in visit.page.text_content("#detail")


def test_while_a_photo_waits_the_focus_stays(visit: Visit, tmp_path: Path) -> None:
    files = several(tmp_path, 4)
    visit.choose(*files)
    page = visit.page
    page.get_by_role("button", name=files[-1].name).click()
    page.get_by_role("button", name="Remove", exact=True).focus()
    seen = set()
    look = "() => [document.querySelector('#detail .waiting')?.textContent, document.activeElement.textContent]"
    while (looked := page.evaluate(look))[0] is not None:
        assert looked[1] == "Remove"
        seen.add(looked[0])
    assert len(seen) > 1, seen
    page.wait_for_selector(".verdict")


def test_a_photo_that_the_service_forgot_is_called_gone(visit: Visit, tmp_path: Path, client: httpx2.Client) -> None:
    [file] = several(tmp_path, 1)

    def forget_before_the_page_knows(route: Any) -> None:
        answer = route.fetch()
        client.delete(f"/v1/jobs/{answer.json()['id']}").raise_for_status()
        route.fulfill(response=answer)

    visit.page.route("**/v1/jobs", forget_before_the_page_knows)
    visit.choose(file)
    visit.wait_until_done()
    visit.page.get_by_role("button", name=file.name).click()
    assert "This photo is gone from the service: there is no such job" in visit.page.text_content("#detail")
    assert "is gone from the service" in visit.page.text_content(".item[aria-current=true] .state")


def several(folder: Path, count: int) -> list[Path]:
    """Photos that take the service a moment each."""
    files = [folder / f"{index}.png" for index in range(count)]
    for index, file in enumerate(files):
        file.write_bytes(photo_bytes(index, 600, 800, ending=".png"))
    return files


def test_ten_at_once(visit: Visit, tmp_path: Path, client: httpx2.Client) -> None:
    files = []
    for index in range(10):
        files.append(tmp_path / f"{index}.png")
        files[-1].write_bytes(photo_bytes(index, ending=".png"))
    visit.choose(*files)
    visit.wait_until_done()
    assert visit.page.text_content("#status") == "10 of 10 photos done"
    asked: list[str] = []
    visit.page.on("request", lambda request: asked.append(request.method))
    visit.page.get_by_role("button", name="Remove all").click()
    visit.page.wait_for_selector("#work", state="hidden")
    visit.page.wait_for_timeout(500)
    assert asked == 10 * ["DELETE"]


def test_a_type_that_browsers_do_not_show_is_shown(visit: Visit, tmp_path: Path) -> None:
    file = tmp_path / "scan.tif"
    cv2.imwrite(str(file), make_photo(np.random.default_rng(1), 120, 160))
    visit.choose(file)
    visit.page.wait_for_selector(".verdict", timeout=DONE)
    visit.page.wait_for_timeout(1000)
    assert right_pane(visit.page).std() > 20
    assert visit.page.text_content("#detail > .error") == ""


def test_corrections_become_a_manifest(visit: Visit, photo: Path, tmp_path: Path) -> None:
    formula = tmp_path / "=2+3.jpg"
    formula.write_bytes(photo_bytes(9))
    visit.choose(photo, formula)
    visit.wait_until_done()
    page = visit.page
    labels = {}
    for file, tampered in ((photo, True), (formula, False)):
        page.get_by_role("button", name=file.name).click()
        call_it(page, tampered=tampered)
        labels[file] = int(tampered)
    page.reload()  # the answers stay
    page.wait_for_selector("#model:not(:empty)")
    visit.choose(photo)
    manifest = tmp_path / "manifest.csv"
    manifest.write_bytes(saved(page, "Export manifest"))
    assert {record.path: record.label for record in read_manifest(manifest)} == labels
    (row, _) = csv.DictReader(io.StringIO(manifest.read_text()))
    assert row["path"] == photo.name
    assert len(row["sha256"]) == 64


def call_it(page: Any, tampered: bool) -> None:
    """Say what the photo that is shown is."""
    said = page.text_content(".item[aria-current=true] .state").strip() == "tampered"
    names = ("Wrong", "Right") if said else ("It is authentic", "It is tampered")
    page.get_by_role("button", name=names[tampered], exact=True).click()


def test_boxes_are_drawn_typed_removed_and_exported(visit: Visit, tmp_path: Path) -> None:
    file = tmp_path / "turned.jpg"
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(make_photo(np.random.default_rng(5), 240, 320)).save(file, exif=exif)  # a person sees 240 x 320
    page = visit.page
    page.set_viewport_size({"width": 1280, "height": 1600})  # all of the photo is to be seen
    visit.choose(file)
    page.wait_for_selector(".verdict", timeout=DONE)
    boxes = page.get_by_role("region", name="Boxes")
    asked = page.get_by_role("group", name="Where?")
    assert not asked.is_visible()
    call_it(page, tampered=False)
    assert not asked.is_visible()
    call_it(page, tampered=True)
    page.wait_for_timeout(800)

    pane = page.locator(".pane:visible").last.bounding_box()
    scale = min(pane["width"] / 240, pane["height"] / 320)
    left, top = pane["x"] + pane["width"] / 2 - 120 * scale, pane["y"] + pane["height"] / 2 - 160 * scale

    def drag(start: tuple[float, float], end: tuple[float, float]) -> None:
        page.mouse.move(left + start[0] * scale, top + start[1] * scale)
        page.mouse.down()
        page.mouse.move(left + end[0] * scale, top + end[1] * scale, steps=4)
        page.mouse.up()

    def numbers(box: int) -> list[int]:
        return [
            int(each.input_value()) for each in boxes.get_by_role("group", name=f"Box {box}").locator("input").all()
        ]

    drag((20.5, 30.5), (60.5, 90.5))  # the photo is moved, not drawn on
    assert boxes.get_by_role("group").count() == 0
    page.get_by_role("button", name="Draw on the photo").click()
    drag((100.5, 200.5), (60.5, 150.5))  # from its lower right corner
    drag((200, 300), (400, 500))  # beyond the photo
    drag((10, 10), (10.2, 10.2))  # a click
    assert boxes.get_by_role("group").count() == 2
    assert np.abs(np.subtract(numbers(1), [60, 150, 41, 51])).max() <= 1
    assert np.abs(np.subtract(numbers(2), [200, 300, 40, 20])).max() <= 1
    page.get_by_role("button", name="Draw on the photo").click()
    green = canvas_pixels(page, ".pane:not(.plain)").astype(int)
    assert ((green[..., 1] > green[..., 0] + 60) & (green[..., 1] > green[..., 2] + 40)).sum() > 100

    boxes.get_by_label("width").first.fill("999")
    boxes.get_by_label("width").first.press("Tab")
    assert numbers(1)[2] == 240 - numbers(1)[0]
    boxes.get_by_role("button", name="Remove box 2").click()
    assert boxes.get_by_role("group").count() == 1
    page.reload()  # they stay
    visit.choose(file)
    page.wait_for_selector(".verdict", timeout=DONE)
    kept = numbers(1)
    manifest = tmp_path / "manifest.csv"
    manifest.write_bytes(saved(page, "Export manifest"))
    (record,) = read_manifest(manifest)
    assert record.boxes == (Box(*kept),)
    assert box_fault(record.boxes, (320, 240)) is None
    call_it(page, tampered=False)
    call_it(page, tampered=True)
    assert boxes.get_by_role("group").count() == 0  # gone with the answer


def test_a_box_by_keyboard_alone(visit: Visit, photo: Path, tmp_path: Path) -> None:
    page = visit.page
    visit.choose(photo)
    page.wait_for_selector(".verdict", timeout=DONE)
    call_it(page, tampered=True)
    page.wait_for_timeout(800)
    page.locator(".answer button").first.focus()
    tab_to(page, "e.textContent === 'Add a box'")
    page.keyboard.press("Enter")
    page.keyboard.press("Enter")  # in its first number, does nothing
    boxes = page.get_by_role("region", name="Boxes")
    assert boxes.get_by_role("group").count() == 1
    x, y, width, height = (int(each.input_value()) for each in boxes.locator("input").all())
    assert np.abs(np.subtract([x, y, width, height], [80, 60, 160, 120])).max() <= 2  # the middle half of 320 x 240
    for key in ("ArrowUp", "ArrowUp", "Tab", "ArrowDown"):
        page.keyboard.press(key)
    tab_to(page, "e.getAttribute('aria-label') === 'Remove box 1'")
    manifest = tmp_path / "manifest.csv"
    manifest.write_bytes(saved(page, "Export manifest"))
    assert read_manifest(manifest)[0].boxes == (Box(x + 2, y - 1, width, height),)
    assert "boxes: 1" in page.text_content("#corrections")
    assert "--boxes" in page.text_content("#corrections")
    page.get_by_role("button", name="Remove box 1").focus()
    page.keyboard.press("Enter")
    assert boxes.get_by_role("group").count() == 0
    assert page.evaluate("() => document.activeElement.textContent") == "Add a box"


def test_a_manifest_fits_beside_the_folder_that_was_dropped(visit: Visit, tmp_path: Path) -> None:
    file = tmp_path / "holiday" / ("long " * 45 + "name.jpg")
    file.parent.mkdir()
    file.write_bytes(photo_bytes(5))
    visit.drop(file.parent)
    visit.page.wait_for_selector(".verdict", timeout=DONE)
    visit.page.locator(".answer button").first.click()
    manifest = tmp_path / "manifest.csv"
    manifest.write_bytes(saved(visit.page, "Export manifest"))
    assert [record.path for record in read_manifest(manifest)] == [file]
    assert "beside what you dropped" in visit.page.text_content("#corrections")


def test_by_keyboard_alone(visit: Visit, photo: Path) -> None:
    page = visit.page
    page.wait_for_selector("#model:not(:empty)")
    tab_to(page, "e.id === 'choose'")
    choose_by_key(page, photo)
    page.wait_for_selector(".verdict", timeout=DONE)
    page.wait_for_timeout(500)

    tab_to(page, "e.tagName === 'SUMMARY'")
    page.keyboard.press("Enter")
    assert page.locator(".verdict details li").first.is_visible()
    tab_to(page, "e.classList.contains('panes')")
    fitted = page.text_content(".zoom")
    page.keyboard.press("+")
    page.keyboard.press("ArrowRight")
    assert page.text_content(".zoom") != fitted
    page.keyboard.press("0")
    assert page.text_content(".zoom") == fitted
    tab_to(page, "e.type === 'range'")
    page.keyboard.press("ArrowLeft")
    assert page.text_content(".slider output") == "59%"
    tab_to(page, "e.textContent === 'Remove' && e.closest('#detail')")
    page.keyboard.press("Enter")
    page.wait_for_selector("#work", state="hidden")
    assert page.evaluate("() => document.activeElement.id") == "choose"


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1280])
def test_nothing_overflows_and_all_text_can_be_read(
    browser: Any, client: httpx2.Client, photo: Path, scheme: str, width: int
) -> None:
    visit = Visit(browser, str(client.base_url), color_scheme=scheme, viewport={"width": width, "height": 844})
    visit.choose(photo)
    visit.page.wait_for_selector(".verdict", timeout=DONE)
    call_it(visit.page, tampered=True)
    visit.page.get_by_role("button", name="Add a box").click()
    visit.page.wait_for_timeout(300)
    assert visit.page.evaluate("() => document.documentElement.scrollWidth") <= width
    for selector in (".headline", ".quiet", ".verdict > p", ".error", "button.primary", "summary"):
        pairs = visit.page.evaluate(CONTRASTS, selector)
        assert all(contrast >= 4.5 for contrast in pairs), (selector, pairs)
    visit.context.close()
    assert visit.complaints == []


def test_a_token_is_asked_for_and_taken_from_the_address(browser: Any, localizer: Localizer, photo: Path) -> None:
    with served(localizer, token=TOKEN) as client:
        base = str(client.base_url)
        visit = Visit(browser, base)
        page = visit.page
        page.wait_for_selector("#token-form")
        page.fill("#token", "not the right token")
        page.keyboard.press("Enter")
        page.get_by_text("This is not the token.").wait_for()
        page.fill("#token", TOKEN)
        page.keyboard.press("Enter")
        visit.choose(photo)
        page.wait_for_selector(".verdict", timeout=DONE)
        assert saved(page, "Mask")[:4] == b"\x89PNG"
        other = Visit(browser, f"{base}#token={TOKEN}")
        other.page.wait_for_selector("#model:not(:empty)")
        assert TOKEN not in other.page.url
        assert visit.complaints + other.complaints == []
        visit.context.close()
        other.context.close()


def test_a_token_that_goes_out_of_date_is_asked_for_again(browser: Any, localizer: Localizer, photo: Path) -> None:
    with served(localizer, token=TOKEN) as client:
        visit = Visit(browser, f"{client.base_url}#token=%{TOKEN}")  # with a % that stands for itself
        page = visit.page
        page.wait_for_selector("#token-form")
        page.fill("#token", TOKEN)
        page.keyboard.press("Enter")
        page.wait_for_selector("#model:not(:empty)")
        page.evaluate("() => sessionStorage.setItem('vilaco-token', 'the-token-of-yesterday')")
        visit.choose(photo)
        page.wait_for_selector("#token-form")
        page.fill("#token", "not the right token")
        page.keyboard.press("Enter")
        page.get_by_text("This is not the token.").wait_for()
        page.fill("#token", TOKEN)
        page.keyboard.press("Enter")
        page.wait_for_selector(".verdict", timeout=DONE)  # of the photo that waited
        assert visit.complaints == []
        visit.context.close()


def test_the_description_of_the_api_opens_where_a_token_is_needed(browser: Any, localizer: Localizer) -> None:
    with served(localizer, token=TOKEN) as client:
        visit = Visit(browser, str(client.base_url))
        with visit.page.expect_navigation() as opened:
            visit.page.get_by_role("link", name="API").click()
        assert opened.value.status == 200
        visit.context.close()


def test_a_busy_service_is_waited_for(browser: Any, localizer: Localizer, tmp_path: Path) -> None:
    with served(localizer, max_queue=1) as client:
        visit = Visit(browser, str(client.base_url))
        files = []
        for index in range(3):
            files.append(tmp_path / f"{index}.png")
            files[-1].write_bytes(photo_bytes(index, 300, 300, ending=".png"))
        visit.choose(*files)
        visit.wait_until_done()
        assert visit.page.text_content("#status") == "3 of 3 photos done"
        visit.context.close()
        assert visit.complaints == []


def test_pages_of_a_file_are_chosen_on_the_page(visit: Visit, tmp_path: Path) -> None:
    pictures = [Image.fromarray(make_photo(np.random.default_rng(seed), 240, 320)) for seed in (1, 2, 3)]
    pictures[0].save(tmp_path / "scan.tiff", save_all=True, append_images=pictures[1:])
    page = visit.page
    visit.choose(tmp_path / "scan.tiff")
    page.wait_for_selector(".verdict", timeout=DONE)
    assert "page 1 of 3" in page.text_content(".notes")
    page.get_by_label("Page").select_option("2")
    page.wait_for_selector(".notes:has-text('page 2 of 3')", timeout=DONE)
    assert page.get_by_label("Page").input_value() == "2"
    assert page.locator(".list .item").count() == 1
    page.wait_for_timeout(500)
    for name in ("Side by side", "Fit"):
        page.get_by_role("button", name=name).click()
    page.get_by_role("slider").nth(0).fill("0")
    page.get_by_label("Whole map").check()
    page.get_by_role("slider").nth(1).fill("100")
    page.wait_for_timeout(800)
    shown = cv2.resize(right_pane(page), (320, 240)).astype(int)
    wanted, other = (np.asarray(picture)[..., ::-1].astype(int) for picture in (pictures[1], pictures[0]))
    assert np.abs(shown - wanted).mean() < np.abs(shown - other).mean()


def test_what_is_there_of_a_cut_photo_is_judged_at_a_click(visit: Visit, tmp_path: Path) -> None:
    data = encode_jpeg(make_textured(np.random.default_rng(0)), 90)
    (tmp_path / "cut.jpg").write_bytes(data[: len(data) // 2])
    page = visit.page
    visit.choose(tmp_path / "cut.jpg")
    page.wait_for_selector(".error:has-text('of the picture is there.')", timeout=DONE)
    assert "--" not in page.text_content("#detail .error")
    page.get_by_role("button", name="Judge the part that is there").click()
    page.wait_for_selector(".notes:has-text('of 256 were judged, the rest is unknown')", timeout=DONE)


def test_a_blank_picture_gets_no_verdict_on_the_page(visit: Visit, tmp_path: Path) -> None:
    Image.new("RGB", (320, 240), "white").save(tmp_path / "white.png")
    visit.choose(tmp_path / "white.png")
    visit.page.wait_for_selector(".verdict", timeout=DONE)
    assert visit.page.text_content(".headline") == "Nothing to judge"
    assert visit.page.locator(".scale").count() == 0


def canvas_pixels(page: Any, selector: str) -> np.ndarray:
    """A canvas as it was drawn, (H, W, 3) RGB."""
    url = page.evaluate("(selector) => document.querySelector(selector).toDataURL()", selector)
    png = np.frombuffer(base64.b64decode(url.partition(",")[2]), np.uint8)
    return cv2.imdecode(png, cv2.IMREAD_COLOR_RGB)


def test_the_magnifier_shows_whole_pixels_of_one_place_and_moves_by_key(
    visit: Visit, tmp_path: Path, client: httpx2.Client
) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (120, 160, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "noise.png")
    page = visit.page
    with page.expect_response(lambda answer: "/map.png" in answer.url) as asked:
        visit.choose(tmp_path / "noise.png")
        page.wait_for_selector(".verdict", timeout=DONE)
    base = asked.value.url.removesuffix("map.png")
    page.get_by_text("Magnifier", exact=True).click()
    page.wait_for_selector("output:has-text('Pixel 80, 60')", timeout=DONE)
    box = page.locator(".magnifier")
    box.focus()
    for key in ("ArrowLeft", "ArrowLeft", "ArrowDown", "Shift+ArrowRight", "+"):
        page.keyboard.press(key)
    assert "Pixel 88, 61; each is 12 × 12 here" in page.text_content(".magnifier + output")
    ela = cv2.imdecode(np.frombuffer(client.get(f"{base}ela.png").content, np.uint8), cv2.IMREAD_COLOR_RGB)
    assert ela.shape == pixels.shape
    for number, picture in ((1, pixels), (3, ela)):
        shown = canvas_pixels(page, f".magnifier figure:nth-child({number}) canvas")
        wanted = picture[61 - 6 : 61 + 6, 88 - 6 : 88 + 6].repeat(12, 0).repeat(12, 1)
        outside = np.ones(shown.shape[:2], bool)
        outside[6 * 12 - 3 : 7 * 12 + 3, 6 * 12 - 3 : 7 * 12 + 3] = False  # the frame around the middle
        np.testing.assert_array_equal(shown[outside], wanted[outside])
    pane = page.locator(".pane:visible").first.bounding_box()
    page.mouse.move(pane["x"] + pane["width"] / 2, pane["y"] + pane["height"] / 2)
    page.wait_for_selector("output:has-text('Pixel 80, 60')")
    page.keyboard.press("-")
    assert "each is 8 × 8" in page.text_content(".magnifier + output")


def test_levels_change_what_is_seen_and_not_what_is_saved(visit: Visit, tmp_path: Path) -> None:
    Image.fromarray(np.full((120, 160, 3), (100, 50, 200), np.uint8)).save(tmp_path / "plain.png")
    page = visit.page
    visit.choose(tmp_path / "plain.png")
    page.wait_for_selector(".verdict", timeout=DONE)
    page.get_by_text("Levels", exact=True).click()
    page.get_by_role("slider").nth(0).fill("0")  # no map over the photo
    page.wait_for_timeout(800)

    def seen() -> list[int]:
        drawn = canvas_pixels(page, ".pane:not(.plain)")
        return drawn[drawn.shape[0] // 2, drawn.shape[1] // 2].tolist()

    assert seen() == [100, 50, 200]
    page.get_by_label("Brightness").fill("20")
    assert seen() == [151, 101, 251]  # each plus 51
    page.get_by_role("button", name="As it is").click()
    page.get_by_label("Contrast").fill("25")
    assert seen() == [72, 0, 255]  # twice as far from 127.5: 72.5, -27.5, 272.5
    page.get_by_label("Contrast").fill("0")
    page.get_by_label("Gamma").fill("50")
    assert np.abs(np.array(seen()) - [159.7, 112.9, 225.8]).max() <= 1  # 255 times the root of the share
    page.get_by_role("button", name="As it is").click()
    assert seen() == [100, 50, 200]
