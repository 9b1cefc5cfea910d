"""The page in a real Chromium: what its tests share."""

import os
import shutil
from pathlib import Path
from typing import Any

import cv2
import numpy as np

BROWSER = os.environ.get("CHROMIUM") or next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)
DONE = 90_000  # milliseconds
CONTRASTS = """(selector) => {
  const channel = (v) => (v /= 255) <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4;
  const numbers = (colour) => colour.match(/[\\d.]+/g).map(Number);
  const light = (c) => 0.2126 * channel(c[0]) + 0.7152 * channel(c[1]) + 0.0722 * channel(c[2]);
  return [...document.querySelectorAll(selector)].filter((e) => e.offsetParent && e.textContent.trim()).map((e) => {
    let ground = e;
    while (numbers(getComputedStyle(ground).backgroundColor)[3] === 0) ground = ground.parentElement;
    const [a, b] = [getComputedStyle(e).color, getComputedStyle(ground).backgroundColor].map((c) => light(numbers(c)));
    return (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
  });
}"""


class Visit:
    """A page, and everything it should not have done."""

    def __init__(self, browser: Any, base: str, **options: Any) -> None:
        self.context = browser.new_context(**{"viewport": {"width": 1280, "height": 900}, **options})
        self.page = self.context.new_page()
        self.complaints: list[str] = []
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("console", lambda line: self._heed(line))
        self.page.on("request", lambda request: self._check(request.url, base))
        self.page.goto(base)

    def _heed(self, line: Any) -> None:
        if line.type in ("error", "warning") and "Failed to load resource" not in line.text:
            self.complaints.append(line.text)

    def _check(self, url: str, base: str) -> None:
        if not url.startswith((base.partition("#")[0], "blob:")):
            self.complaints.append(f"asked {url}")

    def choose(self, *files: Path) -> None:
        self.page.wait_for_selector("#model:not(:empty)")
        self.page.set_input_files("#files", list(map(str, files)))

    def drop(self, *paths: Path) -> None:
        """Files and folders, as from the system's file manager."""
        self.page.wait_for_selector("#model:not(:empty)")
        mouse = self.context.new_cdp_session(self.page)
        data = {"items": [], "files": list(map(str, paths)), "dragOperationsMask": 1}
        for kind in ("dragEnter", "dragOver", "drop"):
            mouse.send("Input.dispatchDragEvent", {"type": kind, "x": 400, "y": 300, "data": data})

    def wait_until_done(self) -> None:
        self.page.wait_for_selector("#progress", state="hidden", timeout=DONE)


def saved(page: Any, button: str) -> bytes:
    with page.expect_download() as download:
        page.get_by_role("button", name=button, exact=True).click()
    return Path(download.value.path()).read_bytes()


def right_pane(page: Any) -> np.ndarray:
    return cv2.imdecode(np.frombuffer(page.locator(".pane").nth(1).screenshot(), np.uint8), cv2.IMREAD_COLOR)


def tab_to(page: Any, test: str) -> None:
    for _ in range(60):
        page.keyboard.press("Tab")
        if page.evaluate(f"() => {{ const e = document.activeElement; return Boolean({test}); }}"):
            return
    raise AssertionError(f"not reached by Tab: {test}")


def choose_by_key(page: Any, file: Path) -> None:
    with page.expect_file_chooser() as chooser:
        page.wait_for_timeout(500)  # until the chooser is listened for
        page.keyboard.press("Enter")
    chooser.value.set_files(str(file))
