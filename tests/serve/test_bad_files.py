"""The files that nobody would call a good photo, uploaded."""

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest

from bad_inputs import BAD_INPUTS, BadInput, make_all
from serving import as_form, served
from vilaco.localizer import Localizer

SECONDS = 10
DECODER = {"decoder_timeout", "out_of_memory"}  # a child process has less of both than the decoder of a command line


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_all(tmp_path_factory.mktemp("bad") / "in")


@pytest.fixture(scope="module")
def client(localizer: Localizer) -> Iterator[httpx2.Client]:
    with served(localizer) as client:
        yield client


def can_be_uploaded(file: Path) -> bool:
    """Whether it has bytes: no pipe, socket, device or link to nowhere."""
    try:
        return stat.S_ISREG(os.stat(file).st_mode) and os.access(file, os.R_OK)
    except OSError:
        return False


@pytest.mark.parametrize("kind", BAD_INPUTS, ids=lambda kind: ascii(kind.name)[1:40])
def test_every_kind_gets_an_answer(kind: BadInput, folder: Path, client: httpx2.Client) -> None:
    file = folder / kind.name
    if not can_be_uploaded(file):
        assert kind.codes & {"not_a_file", "not_found", "unreadable"}
        return
    answer = client.post("/v1/detect", files=as_form(file.read_bytes(), name=ascii(kind.name)))
    if answer.status_code == 200:
        (photo,) = answer.json()["photos"]
        assert (photo["result"]["height"], photo["result"]["width"]) == kind.size
        assert photo["result"]["seconds"] < SECONDS
    else:
        assert answer.status_code in (413, 422)
        assert answer.json()["code"] in {*kind.codes, *DECODER}
    assert client.get("/healthz").status_code == 200
