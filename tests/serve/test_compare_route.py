"""``POST /v1/compare``, ``POST /v1/comparisons`` and what they leave."""

import io

import cv2
import httpx2
import numpy as np
import pytest
from PIL import Image

from pictures import make_textured
from serving import photo_bytes, served
from vilaco.compare import compare
from vilaco.images import encode_jpeg, encode_png
from vilaco.localizer import Localizer

PROBLEM = "application/problem+json"


def pair(height: int = 240, width: int = 320) -> tuple[bytes, bytes]:
    """A JPEG with a changed square, and its original."""
    original = make_textured(np.random.default_rng(0), height, width)
    suspect = original.copy()
    suspect[100:140, 60:110] = original[20:60, 200:250]
    return encode_jpeg(suspect, 85), cv2.imencode(".png", original[..., ::-1])[1].tobytes()


def as_pair(suspect: bytes, original: bytes) -> list[tuple[str, tuple[str, bytes]]]:
    return [("suspect", ("posted.jpg", suspect)), ("original", ("original.png", original))]


def test_a_pair_gets_what_the_command_says(client: httpx2.Client, tmp_path) -> None:
    suspect, original = pair()
    (tmp_path / "posted.jpg").write_bytes(suspect)
    (tmp_path / "original.png").write_bytes(original)
    expected = compare(tmp_path / "posted.jpg", tmp_path / "original.png")
    answer = client.post("/v1/compare", files=as_pair(suspect, original))
    assert answer.status_code == 200
    job = answer.json()
    assert (job["state"], job["finished"], job["total"], job["photos"]) == ("done", 1, 1, [])
    (found,) = job["comparisons"]
    assert (found["suspect"], found["original"]) == ("posted.jpg", "original.png")
    same = expected.row.model_dump(mode="json", exclude={"suspect", "original", "seconds"})
    assert {name: found["result"][name] for name in same} == same
    assert found["words"]["headline"] == "One region is changed"

    base = f"/v1/comparisons/{found['id']}"
    mask = cv2.imdecode(np.frombuffer(client.get(f"{base}/mask.png").content, np.uint8), cv2.IMREAD_UNCHANGED)
    np.testing.assert_array_equal(mask > 0, expected.mask)
    for name in ("suspect.png", "explained.jpg", "difference.png", "overlay.jpg"):
        assert Image.open(io.BytesIO(client.get(f"{base}/{name}").content)).size == (320, 240), name
    report = client.get(f"{base}/report.html")
    assert report.headers["content-disposition"].startswith("attachment")
    assert "One region is changed" in report.text
    assert client.get(f"/v1/photos/{found['id']}/map.png").status_code == 404
    assert 'vilaco_photos_total{outcome="compared"}' in client.get("/metrics").text


def test_what_is_not_related_has_no_explanation(client: httpx2.Client) -> None:
    other = photo_bytes(9, 120, 160)
    (found,) = client.post("/v1/compare", files=as_pair(other, pair()[1])).json()["comparisons"]
    assert found["result"]["related"] is False
    assert client.get(f"/v1/comparisons/{found['id']}/mask.png").status_code == 200
    missing = client.get(f"/v1/comparisons/{found['id']}/explained.jpg")
    assert (missing.status_code, missing.json()["code"]) == (404, "no_such_photo")


def test_a_comparison_can_be_handed_in_asked_for_and_deleted(localizer: Localizer) -> None:
    with served(localizer) as client:
        created = client.post("/v1/comparisons", files=as_pair(*pair()))
        assert created.status_code == 202
        location = created.headers["location"]
        assert location == f"/v1/jobs/{created.json()['id']}"
        while (job := client.get(location).json())["state"] != "done":
            pass
        (found,) = job["comparisons"]
        assert found["state"] == "done"
        assert client.get(f"/v1/comparisons/{found['id']}/overlay.jpg").status_code == 200
        assert client.delete(location).status_code == 204
        assert client.get(f"/v1/comparisons/{found['id']}/overlay.jpg").status_code == 404
        assert "vilaco_kept_bytes 0.0" in client.get("/metrics").text


@pytest.mark.parametrize(
    ("suspect", "original", "status", "code", "photo"),
    [
        (b"nothing", pair()[1], 422, "not_an_image", "posted.jpg"),
        (pair()[0], b"", 422, "empty", "original.png"),
        (pair()[0], photo_bytes(0, 1500, 1500), 413, "too_many_pixels", "original.png"),
    ],
)
def test_a_bad_file_is_named(
    client: httpx2.Client, suspect: bytes, original: bytes, status: int, code: str, photo: str
) -> None:
    answer = client.post("/v1/compare", files=as_pair(suspect, original))
    assert (answer.status_code, answer.headers["content-type"]) == (status, PROBLEM)
    assert (answer.json()["code"], answer.json()["photo"]) == (code, photo)


@pytest.mark.parametrize(
    ("request_", "status", "code"),
    [
        ({"files": as_pair(*pair())[:1]}, 422, "not_a_pair"),
        ({"files": [*as_pair(*pair()), ("suspect", ("b.jpg", photo_bytes()))]}, 422, "not_a_pair"),
        ({"files": [("photos", ("a.jpg", photo_bytes())), ("original", ("b.jpg", photo_bytes()))]}, 422, "not_a_pair"),
        ({"files": [("suspect", (None, b"text")), ("original", ("b.jpg", photo_bytes()))]}, 422, "not_a_pair"),
        ({"json": {"suspect": "http://localhost/a.jpg"}}, 415, "not_a_form"),
    ],
)
def test_a_wrong_form_is_refused(client: httpx2.Client, request_: dict, status: int, code: str) -> None:
    answer = client.post("/v1/compare", **request_)
    assert (answer.status_code, answer.json()["code"]) == (status, code)


@pytest.mark.parametrize("size", [(1, 1), (1, 2000), (2000, 1), (40, 50)])
def test_odd_shapes_get_an_answer(client: httpx2.Client, size: tuple[int, int]) -> None:
    blank = encode_png(np.full(size, 255, np.uint8))
    (same,) = client.post("/v1/compare", files=as_pair(blank, blank)).json()["comparisons"]
    assert same["result"]["same_pixels"] is True
    (other,) = client.post("/v1/compare", files=as_pair(blank, pair()[1])).json()["comparisons"]
    assert other["result"]["related"] is False
