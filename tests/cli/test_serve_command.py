"""``vilaco serve`` as a person meets it."""

import inspect
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import httpx2
import pytest

from serving import TOKEN, as_form, photo_bytes
from vilaco.cli.serve import serve
from vilaco.serve.settings import ServeSettings

COMMAND = [sys.executable, "-m", "vilaco", "serve"]
ENV = {**os.environ, "OMP_NUM_THREADS": "1", "NO_COLOR": "1", "COLUMNS": "200"}


def refused(*arguments: str) -> str:
    run = subprocess.run([*COMMAND, *arguments], capture_output=True, text=True, env=ENV, check=False, timeout=120)
    assert (run.returncode, run.stdout) == (2, "")
    assert "Traceback" not in run.stderr
    return run.stderr


@contextmanager
def running(*arguments: str, **env: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    command = [*COMMAND, "--port", "0", *arguments]
    heed = partial(signal.signal, signal.SIGINT, signal.SIG_DFL)  # a background shell would have it ignored
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env={**ENV, **env}, preexec_fn=heed)
    try:
        line = process.stderr.readline()
        address = re.search(r"http://\S+", line)
        assert address, line + process.stderr.read()
        yield process, address[0]
    finally:
        process.kill()
        process.communicate()


def test_help_shows_every_setting_with_its_default() -> None:
    parameters = inspect.signature(serve).parameters
    shown = subprocess.run([*COMMAND, "--help"], capture_output=True, text=True, env=ENV, check=True).stdout
    options = " ".join(shown.partition("Options")[2].replace("│", " ").split())
    for name, field in ServeSettings.model_fields.items():
        if name in ("token", "allowed_hosts"):
            continue
        assert parameters[name].default.default == field.default
        if field.default is None:
            assert f"--{name.replace('_', '-')} " in options
            continue
        (default,) = re.findall(rf"--{name.replace('_', '-')} [^\[]*\[default: ([^\]]*)\]", options)
        assert default == str(field.default)
    assert "--token-file" in shown
    assert "--allowed-host" in shown
    assert "VILACO_SERVE_TOKEN" in shown


def test_an_open_address_needs_a_token() -> None:
    assert "0.0.0.0 can be reached from other machines, so a token is needed" in refused("--host", "0.0.0.0")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--max-photos", "0"], "max_photos: "),
        (["--keep-minutes", "-1"], "keep_minutes: "),
        (
            ["--allowed-host", "http://a.example"],
            "allowed_hosts: 'http://a.example' is no host's name; give it without",
        ),
        (
            ["--allowed-host", "a.example:80"],
            "allowed_hosts: 'a.example:80' is no host's name; give it without http://",
        ),
        (["--token-file", "/nowhere/token"], "/nowhere/token: the token cannot be read (No such file or directory)"),
        (["--model", "nowhere", "--port", "0"], "nowhere: no such model"),
        (["--host", "203.0.113.7", "--token-file", "TOKEN"], "cannot listen on 203.0.113.7, port 8000"),
    ],
)
def test_wrong_use_gets_one_line(arguments: list[str], words: str, tmp_path: Path) -> None:
    (tmp_path / "token").write_text(TOKEN + "\n")
    assert words in refused(*(str(tmp_path / "token") if word == "TOKEN" else word for word in arguments))


def test_a_device_that_is_not_there_is_refused(tiny_model: Path) -> None:
    assert "cannot use the device 'nonsense'" in refused(
        "--model", str(tiny_model), "--device", "nonsense", "--port", "0"
    )


def test_a_weak_token_is_refused(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("short\n")
    assert "at least 16" in refused("--token-file", str(tmp_path / "token"))


def test_a_port_in_use_is_said() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        assert f"cannot listen on 127.0.0.1, port {port} (Address already in use)" in refused("--port", port)


@pytest.mark.parametrize(("stop", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, -signal.SIGTERM)])
def test_it_stops_in_good_order(tmp_path: Path, stop: signal.Signals, code: int) -> None:
    with running(TMPDIR=str(tmp_path), VILACO_SERVE_TOKEN=TOKEN) as (process, address):
        with httpx2.Client(base_url=address, timeout=60, headers={"Authorization": f"Bearer {TOKEN}"}) as client:
            answer = client.post("/v1/detect", files=as_form(photo_bytes()))
            assert answer.status_code == 200
            assert list(tmp_path.glob("vilaco-*/*/upload"))
        process.send_signal(stop)
        _, messages = process.communicate(timeout=60)
        assert process.returncode == code, messages
        assert "Traceback" not in messages
        assert list(tmp_path.glob("vilaco-*")) == []
