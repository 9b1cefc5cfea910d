"""``POST /v1/detect`` and what it leaves: answers, files, problems."""

import io
import json

import cv2
import httpx2
import numpy as np
import pytest
from PIL import Image

from pictures import make_photo, make_textured
from serving import as_form, photo_bytes
from vilaco.images import encode_jpeg, load_photo
from vilaco.localizer import Localizer
from vilaco.result import find_regions

PROBLEM = "application/problem+json"


def decoded(data: bytes) -> np.ndarray:
    return cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)


def test_one_photo_gets_what_the_localizer_says(client: httpx2.Client, localizer: Localizer) -> None:
    data = photo_bytes()
    answer = client.post("/v1/detect", files=as_form(data, name="täg/beach.jpg"))
    assert answer.status_code == 200
    job = answer.json()
    assert (job["state"], job["finished"], job["total"]) == ("done", 1, 1)
    (photo,) = job["photos"]
    expected = json.loads(localizer(data).to_json())
    for name in ("path", "seconds"):
        expected.pop(name)
    assert {name: photo["result"][name] for name in expected} == expected
    assert photo["name"] == photo["result"]["path"] == "täg/beach.jpg"
    assert photo["evidence"]["format"] == "JPEG"
    assert photo["evidence"]["sha256"] == photo["sha256"]
    assert photo["words"]["headline"]
    assert photo["words"]["limits"]


def test_the_files_of_a_photo_agree_with_each_other(client: httpx2.Client, localizer: Localizer) -> None:
    turned = io.BytesIO()
    exif = Image.Exif()
    exif[274] = 6
    Image.fromarray(make_photo(np.random.default_rng(3))).save(turned, "PNG", exif=exif)
    (photo,) = client.post("/v1/detect", files=as_form(turned.getvalue())).json()["photos"]
    base = f"/v1/photos/{photo['id']}"
    assert (photo["result"]["height"], photo["result"]["width"]) == (96, 72)
    levels = decoded(client.get(f"{base}/map.png").content)
    assert (levels.dtype, levels.shape) == (np.uint16, (96, 72))
    expected = localizer(turned.getvalue())
    np.testing.assert_allclose(levels / 65535, expected.localization_map, atol=1e-5)
    threshold = float(np.median(levels) / 65535)
    for at in (0.5, threshold):
        mask = decoded(client.get(f"{base}/mask.png", params={"threshold": at}).content)
        np.testing.assert_array_equal(mask, np.where(levels / np.float32(65535) > at, 255, 0))
    found = client.get(f"{base}/regions", params={"threshold": threshold}).json()
    values = levels.astype(np.float32) / np.float32(65535)
    regions = find_regions(values > threshold, values)
    assert [region["area"] for region in found["regions"]] == [region.area for region in regions]
    shown = client.get(f"{base}/photo.png")
    upright = load_photo(turned.getvalue())
    np.testing.assert_array_equal(decoded(shown.content)[..., ::-1], upright.upright(upright.pixels))
    assert decoded(client.get(f"{base}/overlay.jpg").content).shape == (96, 72, 3)
    report = client.get(f"{base}/report.html")
    assert report.headers["content-disposition"].startswith("attachment")


@pytest.mark.parametrize(
    ("data", "status", "code"),
    [
        pytest.param(b"", 422, "empty", id="empty"),
        pytest.param(b"no picture at all", 422, "not_an_image", id="text"),
        pytest.param(photo_bytes()[:400], 422, None, id="cut"),
        pytest.param(b"\x89PNG\r\n\x1a\n" + bytes(64), 422, None, id="zeros"),
        pytest.param(b"%!PS-Adobe-3.0 EPSF-3.0\n", 422, "not_an_image", id="postscript"),
        pytest.param(b"<svg xmlns='http://www.w3.org/2000/svg'/>", 422, "not_an_image", id="svg"),
        pytest.param(photo_bytes(height=1500, width=1500, ending=".png"), 413, "too_many_pixels", id="pixels"),
        pytest.param(bytes(3 << 20), 413, "body_too_large", id="bytes"),
    ],
)
def test_a_bad_file_gets_one_problem(client: httpx2.Client, data: bytes, status: int, code: str | None) -> None:
    answer = client.post("/v1/detect", files=as_form(data))
    assert (answer.status_code, answer.headers["content-type"]) == (status, PROBLEM)
    problem = answer.json()
    assert problem["status"] == status
    assert {"type", "title", "detail", "code"} <= set(problem)
    assert problem["type"] == f"urn:vilaco:{problem['code']}"
    assert code in (None, problem["code"])
    assert "vilaco-" not in problem["detail"]  # the path of our copy
    assert client.get("/healthz").json() == {"status": "ok"}


@pytest.mark.parametrize(("height", "width"), [(1, 1), (1, 2000), (2000, 1)])
def test_odd_shapes_get_an_answer(client: httpx2.Client, height: int, width: int) -> None:
    answer = client.post("/v1/detect", files=as_form(photo_bytes(height=height, width=width, ending=".png")))
    assert answer.json()["photos"][0]["state"] == "done"


def test_one_bad_file_among_good_ones_costs_itself_alone(client: httpx2.Client) -> None:
    answer = client.post("/v1/detect", files=as_form(photo_bytes(1), b"nothing", photo_bytes(2)))
    assert answer.status_code == 200
    assert [photo["state"] for photo in answer.json()["photos"]] == ["done", "failed", "done"]
    assert answer.json()["photos"][1]["problem"]["code"] == "not_an_image"


@pytest.mark.parametrize(
    ("request_", "status", "code"),
    [
        ({"files": as_form(*[photo_bytes()] * 5)}, 413, "too_many_photos"),
        ({"files": [("picture", ("a.jpg", photo_bytes()))]}, 422, "not_a_file"),
        ({"files": [("photos", (None, b"text"))]}, 422, "not_a_file"),
        ({"json": {"url": "http://localhost/a.jpg"}}, 415, "not_a_form"),
        ({"data": {"url": "http://localhost/a.jpg"}}, 415, "not_a_form"),
        ({"content": b"x", "headers": {"Content-Type": "multipart/form-data"}}, 400, "bad_request"),
        ({"content": b"x", "headers": {"Content-Type": "multipart/form-data; boundary=b"}}, 400, "bad_request"),
    ],
)
def test_a_wrong_form_is_refused(client: httpx2.Client, request_: dict, status: int, code: str) -> None:
    answer = client.post("/v1/detect", **request_)
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert answer.headers["content-type"] == PROBLEM


def test_a_body_without_a_length_is_cut_off_at_the_limit(client: httpx2.Client) -> None:
    def stream():
        yield b'--b\r\nContent-Disposition: form-data; name="photos"; filename="a.jpg"\r\n\r\n'
        for _ in range(48):
            yield bytes(1 << 16)

    headers = {"Content-Type": "multipart/form-data; boundary=b"}
    answer = client.post("/v1/detect", content=stream(), headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (413, "body_too_large")


@pytest.mark.parametrize(
    "name", ["../../etc/passwd", "/etc/passwd", "a\r\nb.jpg", "\u202egpj.exe", "x" * 3000, "🙂.jpg"]
)
def test_a_name_is_only_shown_never_used(client: httpx2.Client, name: str) -> None:
    (photo,) = client.post("/v1/detect", files=as_form(photo_bytes(), name=name)).json()["photos"]
    assert photo["state"] == "done"
    assert photo["name"].isprintable()
    assert len(photo["name"]) <= 200


def test_page_and_what_is_there_are_asked_for(client: httpx2.Client) -> None:
    pages = [Image.fromarray(make_photo(np.random.default_rng(seed))) for seed in (1, 2)]
    file = io.BytesIO()
    pages[0].save(file, "TIFF", save_all=True, append_images=pages[1:])
    second = client.post("/v1/detect", params={"page": 2}, files=as_form(file.getvalue())).json()["photos"][0]
    assert (second["result"]["page"], second["result"]["pages"]) == (2, 2)
    assert second["result"]["notes"] == ["page 2 of 2"]
    shown = client.get(f"/v1/photos/{second['id']}/photo.png").content
    np.testing.assert_array_equal(decoded(shown)[..., ::-1], np.asarray(pages[1]))
    missing = client.post("/v1/detect", params={"page": 3}, files=as_form(file.getvalue()))
    assert (missing.status_code, missing.json()["code"]) == (422, "no_such_page")
    assert client.post("/v1/detect", params={"page": 0}, files=as_form(file.getvalue())).status_code == 422

    data = encode_jpeg(make_textured(np.random.default_rng(0)), 90)
    cut = as_form(data[: len(data) // 2])
    assert client.post("/v1/detect", files=cut).json()["code"] == "truncated"
    (part,) = client.post("/v1/detect", params={"accept_truncated": True}, files=cut).json()["photos"]
    assert "the rest is unknown" in part["result"]["notes"][0]
    levels = decoded(client.get(f"/v1/photos/{part['id']}/map.png").content)
    assert levels.shape == (256, 384)
    assert not levels[160:].any()
