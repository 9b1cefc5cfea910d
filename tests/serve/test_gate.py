"""Who may call: host, origin, token; and what browsers are told."""

import contextlib
import re
import socket
import time

import httpx2
import pytest

from serving import TOKEN, as_form, photo_bytes, served
from vilaco.localizer import Localizer


@pytest.mark.parametrize(
    "host", ["evil.example", "127.0.0.1.evil.example", "localhost.evil.example:80", "", "[::1", "a@b"]
)
@pytest.mark.parametrize("path", ["/", "/v1/about", "/healthz"])
def test_a_rebound_name_is_refused(client: httpx2.Client, host: str, path: str) -> None:
    answer = client.get(path, headers={"Host": host})
    assert (answer.status_code, answer.json()["code"]) == (421, "wrong_host")


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:9", "127.0.0.1:1", "[::1]:8000"])
def test_localhost_by_any_port_is_served(client: httpx2.Client, host: str) -> None:
    assert client.get("/healthz", headers={"Host": host}).status_code == 200


@pytest.mark.parametrize("origin", ["http://evil.example", "null", "http://127.0.0.1:1", "file://", "http://[", "x"])
def test_a_page_of_another_site_cannot_post(client: httpx2.Client, origin: str) -> None:
    for method, path in (("POST", "/v1/detect"), ("POST", "/v1/jobs"), ("DELETE", "/v1/jobs/x")):
        answer = client.request(method, path, headers={"Origin": origin})
        assert (answer.status_code, answer.json()["code"]) == (403, "wrong_origin")


def test_a_page_of_another_site_cannot_embed(client: httpx2.Client) -> None:
    answer = client.get("/v1/about", headers={"Sec-Fetch-Site": "cross-site"})
    assert (answer.status_code, answer.json()["code"]) == (403, "wrong_origin")
    assert client.get("/", headers={"Sec-Fetch-Site": "cross-site"}).status_code == 200  # a link to the page


def test_our_own_page_can_post(client: httpx2.Client) -> None:
    origin = str(client.base_url).rstrip("/")
    answer = client.post("/v1/detect", files=as_form(photo_bytes()), headers={"Origin": origin})
    assert answer.status_code == 200


@pytest.mark.parametrize("path", ["/", "/main.js", "/v1/about", "/nothing", "/v1/jobs/x"])
def test_every_answer_has_the_headers(client: httpx2.Client, path: str) -> None:
    headers = client.get(path).headers
    policy = headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["cross-origin-resource-policy"] == "same-origin"
    assert "access-control-allow-origin" not in headers
    assert "server" not in headers or "uvicorn" in headers["server"]


@pytest.mark.parametrize(
    ("path", "allowed"),
    [
        ("/v1/detect", "POST"),
        ("/v1/jobs", "POST"),
        ("/v1/jobs/x", "DELETE, GET"),
        ("/v1/about", "GET"),
        ("/", "GET, HEAD"),
    ],
)
def test_a_method_that_is_not_there_is_told_which_are(client: httpx2.Client, path: str, allowed: str) -> None:
    for method in {"PATCH", "OPTIONS", "GET", "POST"} - set(allowed.split(", ")):
        answer = client.request(method, path)
        assert (answer.status_code, answer.headers["allow"]) == (405, allowed)
        assert answer.json()["code"] == "method_not_allowed"


def test_the_description_refers_to_nothing_that_is_not_in_it(client: httpx2.Client) -> None:
    answer = client.get("/openapi.json")
    names = set(re.findall(r'"#/components/schemas/([^"]+)"', answer.text))
    assert names == names & set(answer.json()["components"]["schemas"])


@pytest.mark.parametrize("path", ["/../pyproject.toml", "/%2e%2e/app.py", "/..%2fapp.py", "/app.py", "//etc/passwd"])
def test_static_files_stay_inside_the_page(client: httpx2.Client, path: str) -> None:
    answer = client.get(path)
    assert (answer.status_code, answer.headers["content-type"]) == (404, "application/problem+json")


def test_a_token_opens_what_it_should_and_nothing_opens_without(localizer: Localizer) -> None:
    with served(localizer, token=TOKEN, host="0.0.0.0") as client:
        anywhere = {"Host": "photos.example"}
        for path in ("/", "/main.js", "/healthz", "/openapi.json"):  # the page links to the last
            assert client.get(path, headers=anywhere).status_code == 200
        wrong = [{}, {"Authorization": "Bearer"}, {"Authorization": f"Basic {TOKEN}"}]
        wrong += [{"Authorization": f"Bearer {TOKEN[:-1]}"}, {"Authorization": "Bearer ünïcödë-ünïcödë".encode()}]
        for headers in wrong:
            for path in ("/v1/about", "/metrics", "/v1/jobs/x"):
                answer = client.get(path, headers=headers)
                assert (answer.status_code, answer.json()["code"]) == (401, "token_needed")
                assert answer.headers["www-authenticate"] == "Bearer"
            assert client.post("/v1/detect", files=as_form(photo_bytes()), headers=headers).status_code == 401
        right = {"Authorization": f"Bearer {TOKEN}", **anywhere}
        assert client.get("/v1/about", headers=right).status_code == 200
        assert client.post("/v1/detect", files=as_form(photo_bytes()), headers=right).status_code == 200


def test_names_given_are_the_names_served(localizer: Localizer) -> None:
    with served(localizer, token=TOKEN, allowed_hosts=("Photos.Example", "[2001:DB8::1]")) as client:
        for host in ("photos.example", "PHOTOS.example:8443", "[2001:db8::1]:80"):
            assert client.get("/healthz", headers={"Host": host}).status_code == 200
        assert client.get("/healthz", headers={"Host": "other.example"}).status_code == 421


def test_a_huge_upload_that_asks_first_is_not_sent(client: httpx2.Client) -> None:
    with socket.create_connection(("127.0.0.1", client.base_url.port), timeout=30) as caller:
        caller.sendall(
            b"POST /v1/detect HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2147483648\r\n"
            b"Content-Type: multipart/form-data; boundary=b\r\nExpect: 100-continue\r\n\r\n"
        )
        assert caller.recv(65536).startswith(b"HTTP/1.1 413 ")


def test_a_huge_upload_that_does_not_ask_is_cut_off(client: httpx2.Client) -> None:
    with socket.create_connection(("127.0.0.1", client.base_url.port), timeout=30) as caller:
        caller.sendall(b"POST /v1/detect HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2147483648\r\n\r\n")
        sent = 0
        with contextlib.suppress(ConnectionError):
            while sent < 1 << 26:
                caller.sendall(bytes(1 << 16))
                sent += 1 << 16
        assert sent < 1 << 25  # the limit is 2 MiB; the rest is what sockets hold
    assert client.get("/healthz").status_code == 200


def test_uploads_at_once_are_limited(localizer: Localizer) -> None:
    head = b"POST /v1/jobs HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99\r\n"
    head += b"Content-Type: multipart/form-data; boundary=b\r\n\r\n--b\r\n"
    with served(localizer, max_uploads=1) as client:
        with socket.create_connection(("127.0.0.1", client.base_url.port)) as slow:
            slow.sendall(head)
            time.sleep(0.5)
            answer = client.post("/v1/jobs", files=as_form(photo_bytes()))
            assert (answer.status_code, answer.json()["code"]) == (503, "too_many_uploads")
            assert answer.headers["retry-after"]
            assert client.get("/v1/about").status_code == 200
        for _ in range(50):
            answer = client.post("/v1/jobs", files=as_form(photo_bytes()))
            if answer.status_code == 202:
                break
            time.sleep(0.1)
        assert answer.status_code == 202
