"""Content credentials (C2PA): a signed note of where a picture comes from, through c2pa-python, without the network.

Three questions are kept apart: is there a note; does it fit the file, which a signature proves; and is the signer
somebody to be trusted, which only a list of certificates can answer. A note that fits says that the signer made these
statements about exactly this file, not that they are true; no note is the rule and says nothing.

Specification: https://c2pa.org/specifications, versions 1 and 2.
"""

import json
import os
from pathlib import Path
from typing import Any, BinaryIO, Literal

from pydantic import BaseModel, ConfigDict

from vilaco.errors import ConfigError
from vilaco.evidence.text import plain

TRUST_ANCHORS = "VILACO_TRUST_ANCHORS"
"""Environment variable: a PEM file with the certificates of those whose signature counts as trusted."""
HOW_TO_GET = "pip install 'vilaco[report]'"

_UNTRUSTED = "signingCredential.untrusted"
_MAX_LISTED = 20


class Credentials(BaseModel):
    """What content credentials a file has.

    Attributes:
        status: ``"not checked"`` where c2pa-python is missing or the file type has none; ``"elsewhere"`` where the
            file only names an address, which is not fetched; ``"unreadable"`` where the note is damaged.
        intact: Whether signature and file fit: nothing was changed since it was signed.
        trust: ``"trusted"`` and ``"untrusted"`` are about the list of certificates in use, ``"not checked"`` is for
            where there is none.
        signer: Who signed, by their own certificate.
        signed_at: When, if a time stamp says so.
        program: What made the note.
        actions: What it says was done, in order.
        ingredients: Titles of the pictures that it says went in.
        faults: What did not fit, as codes of the specification.
        note: One sentence more, e.g. why it was not checked.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    status: Literal["absent", "present", "elsewhere", "unreadable", "not checked"]
    intact: bool | None = None
    trust: Literal["trusted", "untrusted", "not checked"] | None = None
    signer: str | None = None
    signed_at: str | None = None
    program: str | None = None
    actions: tuple[str, ...] = ()
    ingredients: tuple[str, ...] = ()
    faults: tuple[str, ...] = ()
    note: str | None = None


def trust_anchors() -> str | None:
    """The certificates that the user trusts, PEM text, or ``None`` where `TRUST_ANCHORS` is not set.

    Raises:
        ConfigError: If the file cannot be read or holds no certificate.
    """
    name = os.environ.get(TRUST_ANCHORS)
    if not name:
        return None
    try:
        text = Path(name).read_text("ascii")
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "not a PEM text file"
        raise ConfigError(f"{TRUST_ANCHORS}={name}: cannot be read ({reason})") from None
    if "BEGIN CERTIFICATE" not in text:
        raise ConfigError(f"{TRUST_ANCHORS}={name}: holds no certificate in PEM form")
    return text


def read_credentials(stream: BinaryIO, mime: str | None, anchors: str | None = None) -> Credentials:
    """Read and check a file's content credentials; nothing is fetched.

    Args:
        stream: The file's bytes.
        mime: Its type, e.g. ``"image/jpeg"``.
        anchors: See `trust_anchors`.
    """
    try:
        import c2pa
    except ImportError:
        return Credentials(status="not checked", note=f"c2pa-python is not installed; {HOW_TO_GET}")
    if mime not in c2pa.Reader.get_supported_mime_types():
        return Credentials(status="not checked", note="c2pa-python does not read this file type")
    settings: dict[str, Any] = {"verify": {"remote_manifest_fetch": False, "ocsp_fetch": False}}
    if anchors is not None:
        settings["trust"] = {"trust_anchors": anchors}
    stream.seek(0)
    try:
        with c2pa.Context.from_dict(settings) as context:
            reader = c2pa.Reader.try_create(mime, stream, context=context)
            if reader is None:
                return Credentials(status="absent")
            with reader:
                return _present(json.loads(reader.json()), has_anchors=anchors is not None)
    except Exception as error:  # c2pa-python reads strangers' bytes, and its own errors are many
        text = plain(str(error), 160)
        if "remote manifest" in text:
            return Credentials(status="elsewhere", note=text.removeprefix("Remote: "))
        return Credentials(status="unreadable", note=text or type(error).__name__)


def _present(store: dict[str, Any], *, has_anchors: bool) -> Credentials:
    manifest = store["manifests"][store["active_manifest"]]
    signature = manifest.get("signature_info") or {}
    signer = ", ".join(dict.fromkeys(signature[key] for key in ("common_name", "issuer") if signature.get(key)))
    programs = [_program(info) for info in manifest.get("claim_generator_info") or []]
    actions = [
        _action(action)
        for assertion in manifest.get("assertions") or []
        if str(assertion.get("label", "")).startswith("c2pa.actions")
        for action in (assertion.get("data") or {}).get("actions") or []
    ]
    faults = [str(status.get("code")) for status in store.get("validation_status") or []]
    state = store.get("validation_state")
    trust: Literal["trusted", "untrusted", "not checked"] = "untrusted" if has_anchors else "not checked"
    return Credentials(
        status="present",
        intact=state in ("Valid", "Trusted"),
        trust="trusted" if state == "Trusted" else trust,
        signer=plain(signer) or None,
        signed_at=signature.get("time"),
        program=plain(", ".join(programs) or str(manifest.get("claim_generator") or "")) or None,
        actions=tuple(actions[:_MAX_LISTED]),
        ingredients=tuple(
            plain(str(ingredient.get("title") or "without a title"))
            for ingredient in (manifest.get("ingredients") or [])[:_MAX_LISTED]
        ),
        faults=tuple(dict.fromkeys(plain(fault) for fault in faults if fault != _UNTRUSTED))[:_MAX_LISTED],
    )


def _program(info: Any) -> str:
    return (
        " ".join(str(info[key]) for key in ("name", "version") if info.get(key))
        if isinstance(info, dict)
        else str(info)
    )


def _action(action: dict[str, Any]) -> str:
    agent, source = action.get("softwareAgent"), str(action.get("digitalSourceType") or "").rpartition("/")[2]
    parts = [str(action.get("action", "")).removeprefix("c2pa.")]
    parts += [f"by {_program(agent)}"] if agent else []
    parts += [f"source: {source}"] if source else []
    return plain(", ".join(parts))
