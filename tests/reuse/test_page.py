"""The page of pairs in a real browser, opened from disk as a colleague would."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pictures import make_textured
from vilaco.images import encode_jpeg
from vilaco.reuse.run import reuse

pytest.importorskip("faiss", reason="needs vilaco[reuse]")
EVIL = '"><img src=x onerror=alert(1)>.jpg'


def test_filters_hide_pairs_and_a_click_leads_to_the_report(browser: Any, tmp_path: Path) -> None:
    plain = [make_textured(np.random.default_rng(seed), 160, 200) for seed in range(2)]
    host = plain[1].copy()
    host[20:110, 30:130] = plain[0][60:150, 90:190]
    (tmp_path / "photos").mkdir()
    for name, pixels, quality in (("a.jpg", plain[0], 90), (EVIL, plain[0], 70), ("host.jpg", host, 85)):
        (tmp_path / "photos" / name).write_bytes(encode_jpeg(pixels, quality))
    report = reuse([tmp_path / "photos"], tmp_path / "out", workers=1)
    assert report.kinds == {"copy": 1, "shared region": 2}
    page, said = browser.new_page(), []
    page.on("console", lambda message: said.append(message.text))
    page.on("dialog", lambda dialog: said.append(dialog.message))
    page.goto((tmp_path / "out" / "summary.html").as_uri())
    shown = page.locator("section.found:visible")
    assert shown.count() == 3
    assert page.locator("#live").inner_text() == "3 of 3 shown"
    assert page.locator("svg polygon").count() == 3 * 2 * 2  # a dark and a bright line in each of two pictures
    page.locator('input[value="copy"]').uncheck()
    assert shown.count() == 2
    page.locator('input[value="strong"]').uncheck()
    assert shown.count() == 0
    page.locator('input[value="strong"]').check()
    shown.first.locator("a.sheets").click()
    page.wait_for_url("**/reports/*.html")
    assert page.locator("h1").inner_text() == "A region in common"
    assert page.get_by_text("What this does not mean").is_visible()
    assert said == []
    page.close()
