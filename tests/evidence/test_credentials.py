"""Content credentials, signed here with certificates made here."""

import io
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cases import make_case
from pictures import make_photo
from signing import Signer, make_signer, sign
from vilaco.errors import ConfigError
from vilaco.evidence import Credentials
from vilaco.evidence.credentials import TRUST_ANCHORS, _present, read_credentials, trust_anchors
from vilaco.report import render_case

c2pa = pytest.importorskip("c2pa", reason="needs vilaco[report]")


@pytest.fixture(scope="module")
def signer() -> Signer:
    return make_signer()


@pytest.fixture(scope="module")
def plain_jpeg() -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(make_photo(np.random.default_rng(0))).save(buffer, "JPEG")
    return buffer.getvalue()


def derive(picture: bytes, parent: bytes, signer: Signer) -> bytes:
    """A signed picture that says it was made from another one."""
    opened = {"action": "c2pa.opened", "parameters": {"ingredientIds": ["xmp:iid:1"]}}
    manifest = {
        "claim_generator_info": [{"name": "test editor", "version": "2"}],
        "assertions": [{"label": "c2pa.actions", "data": {"actions": [opened]}}],
    }
    ingredient = {"title": "parent.jpg", "relationship": "parentOf", "instance_id": "xmp:iid:1"}
    info = c2pa.C2paSignerInfo(c2pa.C2paSigningAlg.ES256, signer.chain, signer.key, None)
    out = io.BytesIO()
    with c2pa.Builder(json.dumps(manifest)) as builder, c2pa.Signer.from_info(info) as notary:
        builder.add_ingredient(json.dumps(ingredient), "image/jpeg", io.BytesIO(parent))
        builder.sign(notary, "image/jpeg", io.BytesIO(picture), out)
    return out.getvalue()


def read(data: bytes, anchors: str | None = None) -> Credentials:
    return read_credentials(io.BytesIO(data), "image/jpeg", anchors)


def test_absent(plain_jpeg: bytes) -> None:
    assert read(plain_jpeg) == Credentials(status="absent")


def test_present_intact_and_trusted_are_three_questions(plain_jpeg: bytes, signer: Signer) -> None:
    data = sign(plain_jpeg, signer)
    found = read(data)
    assert (found.status, found.intact, found.trust, found.faults) == ("present", True, "not checked", ())
    assert found.signer == "leaf, Press <b>"
    assert found.program == "test camera 1"
    assert found.actions == ("created, source: digitalCapture", "edited, by <script>alert(1)</script>")
    assert read(data, signer.root).trust == "trusted"


def test_another_list_of_certificates_does_not_trust(plain_jpeg: bytes, signer: Signer) -> None:
    other = """-----BEGIN CERTIFICATE-----
MIIBtTCCAVugAwIBAgIUQ0zr
-----END CERTIFICATE-----"""
    found = read(sign(plain_jpeg, signer), other)
    assert found.trust != "trusted"


def test_a_changed_picture_breaks_them(plain_jpeg: bytes, signer: Signer) -> None:
    data = bytearray(sign(plain_jpeg, signer))
    data[-100] ^= 0xFF
    found = read(bytes(data), signer.root)
    assert (found.status, found.intact, found.trust) == ("present", False, "untrusted")
    assert "assertion.dataHash.mismatch" in found.faults


@pytest.mark.parametrize("generations", [1, 2])
def test_broken_credentials_of_what_went_in_are_shown(plain_jpeg: bytes, signer: Signer, generations: int) -> None:
    good, broken = sign(plain_jpeg, signer), bytearray(sign(plain_jpeg, signer))
    broken[-100] ^= 0xFF
    of_good, of_broken = good, bytes(broken)
    for _ in range(generations):
        of_good, of_broken = (derive(plain_jpeg, parent, signer) for parent in (of_good, of_broken))
    found = read(of_good, signer.root)
    assert (found.intact, found.trust, found.ingredients, found.ingredient_faults) == (
        True,
        "trusted",
        ("parent.jpg",),
        (),
    )
    found = read(of_broken, signer.root)
    assert (found.intact, found.trust, found.faults) == (True, "trusted", ())  # of this file itself
    assert "parent.jpg: assertion.dataHash.mismatch" in found.ingredient_faults
    page = render_case(make_case(of_broken))
    assert "A picture that went in has broken credentials" in page


def test_valid_but_signed_by_nobody_on_the_list_is_worded_so(plain_jpeg: bytes, signer: Signer) -> None:
    case = make_case(sign(plain_jpeg, signer))
    credentials = case.evidence.credentials.model_copy(update={"trust": "untrusted"})
    case = case.model_copy(update={"evidence": case.evidence.model_copy(update={"credentials": credentials})})
    assert "Valid, but signed by someone who is not on your trust list" in render_case(case)


IDENTITY = {"label": "cawg.identity", "data": {"signature_info": {"common_name": "Ada", "issuer": "Press"}}}
ACCOUNTS = {"verifiedIdentities": [{"username": "ada", "provider": {"name": "Example"}}, {"name": "Ada"}]}


@pytest.mark.parametrize(
    ("success", "failure", "state", "intact", "trust"),
    [
        (["cawg.x509.credential.trusted", "cawg.identity.well-formed"], [], "Trusted", True, "trusted"),
        (["cawg.ica.credential_valid"], [], "Valid", True, "trusted"),
        (["cawg.x509.signature.validated"], ["cawg.x509.credential.untrusted"], "Invalid", True, "untrusted"),
        ([], ["cawg.x509.signature.mismatch"], "Invalid", True, "broken"),
        ([], ["cawg.x509.credential.untrusted", "assertion.dataHash.mismatch"], "Invalid", False, "untrusted"),
        ([], [], "Valid", True, "not checked"),
    ],
)
def test_who_vouches_is_judged_apart_from_the_signer(
    success: list[str], failure: list[str], state: str, intact: bool, trust: str
) -> None:
    """As c2pa 0.38 tells of it; its own signer makes no identity assertions."""
    results = {"success": [{"code": code} for code in success], "failure": [{"code": code} for code in failure]}
    store = {
        "active_manifest": "a",
        "manifests": {"a": {"assertions": [IDENTITY, {"label": "cawg.identity__1", "data": ACCOUNTS}]}},
        "validation_state": state,
        "validation_results": {"activeManifest": results},
    }
    found = _present(store, has_anchors=False)
    assert (found.intact, found.identity_trust) == (intact, trust)
    assert found.identity == "Ada, Press; ada (Example), Ada"
    assert not any(fault.startswith("cawg.") for fault in found.faults)


def test_an_address_is_named_and_not_fetched(plain_jpeg: bytes, signer: Signer) -> None:
    found = read(sign(plain_jpeg, signer, remote="http://127.0.0.1:9/x.c2pa"))
    assert found.status == "elsewhere"
    assert "http://127.0.0.1:9/x.c2pa" in str(found.note)


@pytest.mark.parametrize("cut", [3, 300, 3000])
def test_a_damaged_file_is_said_to_be_so(plain_jpeg: bytes, signer: Signer, cut: int) -> None:
    assert read(sign(plain_jpeg, signer)[:cut]).status in ("unreadable", "absent")


def test_a_type_without_credentials() -> None:
    assert read_credentials(io.BytesIO(b"BM"), "image/bmp").status == "not checked"


def test_trust_anchors_come_from_a_file_that_is_checked(
    tmp_path: Path, signer: Signer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(TRUST_ANCHORS, raising=False)
    assert trust_anchors() is None
    file = tmp_path / "list.pem"
    monkeypatch.setenv(TRUST_ANCHORS, str(file))
    with pytest.raises(ConfigError, match=r"list\.pem: cannot be read"):
        trust_anchors()
    file.write_text("nothing")
    with pytest.raises(ConfigError, match="holds no certificate"):
        trust_anchors()
    file.write_text(signer.root)
    assert trust_anchors() == signer.root
    monkeypatch.delenv(TRUST_ANCHORS)
    assert trust_anchors(file) == signer.root
    (tmp_path / "notes.txt").write_text("what a folder holds besides")
    (tmp_path / "more.crt").write_text(signer.chain.decode())
    assert trust_anchors(tmp_path) == f"{signer.root}\n{signer.chain.decode()}"
    with pytest.raises(ConfigError, match=r"nowhere: cannot be read"):
        trust_anchors(tmp_path / "nowhere")
    (tmp_path / "empty").mkdir()
    with pytest.raises(ConfigError, match="empty: holds no certificate"):
        trust_anchors(tmp_path / "empty")
