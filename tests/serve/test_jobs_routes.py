"""Jobs: progress, deletion, expiry, a full queue, a client that hangs up."""

import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx2
import pytest

import disks
from serving import as_form, photo_bytes, served
from vilaco.localizer import Localizer
from vilaco.serve.entries import UPLOAD

SLOW = photo_bytes(height=1400, width=1400, ending=".png")  # seconds in the model


def comes_true(condition: Callable[[], bool], *, seconds: float = 30) -> bool:
    end = time.monotonic() + seconds
    while not condition() and time.monotonic() < end:
        time.sleep(0.02)
    return condition()


def wait_until_done(client: httpx2.Client, id_: str) -> dict:
    for _ in range(600):
        job = client.get(f"/v1/jobs/{id_}").json()
        if job["state"] == "done":
            return job
        time.sleep(0.1)
    raise AssertionError("the job did not end")


@pytest.fixture
def kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where services started in this test keep photos."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    return tmp_path


def kept_files(folder: Path) -> list[Path]:
    return [file for file in folder.glob("vilaco-*/**/*") if file.is_file()]


def test_a_job_goes_from_running_to_done_to_deleted(localizer: Localizer, kept: Path) -> None:
    with served(localizer) as client:
        created = client.post("/v1/jobs", files=as_form(photo_bytes(1), b"nothing", photo_bytes(2)))
        assert created.status_code == 202
        job = created.json()
        assert created.headers["location"] == f"/v1/jobs/{job['id']}"
        assert (job["total"], job["expires_at"]) == (3, None)
        done = wait_until_done(client, job["id"])
        assert [photo["state"] for photo in done["photos"]] == ["done", "failed", "done"]
        assert done["expires_at"]
        assert all(not name.name.startswith("photo.jpg") for name in kept_files(kept))
        assert all(folder.stat().st_mode & 0o077 == 0 for folder in kept.glob("vilaco-*"))
        assert client.delete(f"/v1/jobs/{job['id']}").status_code == 204
        assert kept_files(kept) == []
        for gone in (f"jobs/{job['id']}", f"photos/{done['photos'][0]['id']}/map.png"):
            assert client.get(f"/v1/{gone}").status_code == 404
        assert "vilaco_kept_bytes 0.0" in client.get("/metrics").text
    assert list(kept.glob("vilaco-*")) == []


def test_photos_are_gone_after_their_time(localizer: Localizer, kept: Path) -> None:
    with served(localizer, keep_minutes=0.02) as client:
        job = client.post("/v1/detect", files=as_form(photo_bytes())).json()
        assert kept_files(kept)
        assert comes_true(lambda: client.get(f"/v1/jobs/{job['id']}").status_code == 404)
        assert kept_files(kept) == []
        assert client.get(f"/v1/photos/{job['photos'][0]['id']}/mask.png").json()["code"] == "no_such_photo"


def test_a_full_queue_says_when_to_come_back_and_recovers(localizer: Localizer) -> None:
    with served(localizer, max_queue=3) as client:
        running = client.post("/v1/jobs", files=as_form(SLOW, SLOW)).json()
        waiting = client.post("/v1/jobs", files=as_form(SLOW)).json()
        for answer in (client.post("/v1/jobs", files=as_form(photo_bytes())), client.post("/v1/detect", content=b"x")):
            assert (answer.status_code, answer.json()["code"]) == (503, "queue_full")
            assert int(answer.headers["retry-after"]) > 0
        assert client.get("/healthz").status_code == 200
        for job in (waiting, running):
            assert client.delete(f"/v1/jobs/{job['id']}").status_code == 204
        assert comes_true(lambda: client.post("/v1/detect", files=as_form(photo_bytes())).status_code == 200)


def test_a_store_that_is_full_takes_no_more(localizer: Localizer) -> None:
    with served(localizer, max_kept_mb=0.001) as client:
        job = client.post("/v1/detect", files=as_form(photo_bytes())).json()
        answer = client.post("/v1/detect", files=as_form(photo_bytes()))
        assert (answer.status_code, answer.json()["code"]) == (503, "store_full")
        client.delete(f"/v1/jobs/{job['id']}")
        assert client.post("/v1/detect", files=as_form(photo_bytes())).status_code == 200


def test_who_hangs_up_leaves_nothing_behind(localizer: Localizer, kept: Path) -> None:
    def uploads() -> int:
        return sum(1 for _ in kept.glob(f"vilaco-*/*/{UPLOAD}"))

    with served(localizer) as client:
        blocker = client.post("/v1/jobs", files=as_form(*3 * [SLOW])).json()
        request = client.build_request("POST", "/v1/detect", files=as_form(photo_bytes()))
        body = request.read()
        head = f"POST /v1/detect HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(body)}\r\n"
        head += f"Content-Type: {request.headers['content-type']}\r\n\r\n"
        with socket.create_connection(("127.0.0.1", client.base_url.port)) as caller:
            caller.sendall(head.encode() + body)
            assert comes_true(lambda: uploads() == 4)
        assert comes_true(lambda: uploads() == 3)
        assert client.get(f"/v1/jobs/{blocker['id']}").json()["state"] == "running"
        client.delete(f"/v1/jobs/{blocker['id']}")


def test_a_slow_upload_is_cut_off(localizer: Localizer) -> None:
    with served(localizer, upload_seconds=0.5) as client:
        with socket.create_connection(("127.0.0.1", client.base_url.port), timeout=30) as caller:
            caller.sendall(
                b"POST /v1/detect HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n"
                b"Content-Type: multipart/form-data; boundary=b\r\n\r\n--b\r\n"
            )
            answer = b"".join(iter(lambda: caller.recv(65536), b"")).decode()
        assert answer.startswith("HTTP/1.1 408 ")
        assert "upload_too_slow" in answer
        assert client.get("/healthz").status_code == 200


@pytest.fixture
def small_disk(kept: Path) -> Iterator[Path]:
    """`kept`, with room for 256 KiB."""
    with disks.small_disk(kept, 256):
        yield kept


def test_a_full_disk_is_said_and_survived(localizer: Localizer, small_disk: Path) -> None:
    with served(localizer) as client:
        room_for_none = client.post("/v1/detect", files=as_form(bytes(300_000)))
        room_for_the_photo_alone = client.post("/v1/detect", files=as_form(photo_bytes() + bytes(250_000)))
        for answer in (room_for_none, room_for_the_photo_alone):
            assert (answer.status_code, answer.json()["code"]) == (507, "disk_full")
            assert answer.headers["retry-after"]
        assert kept_files(small_disk) == []
        assert "vilaco_queue_photos 0.0" in client.get("/metrics").text
        assert client.get("/healthz").status_code == 200
