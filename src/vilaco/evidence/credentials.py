"""Content credentials (C2PA): a signed note of where a picture comes from, through c2pa-python, without the network.

Three questions are kept apart: is there a note; does it fit the file, which a signature proves; and is the signer
somebody to be trusted, which only a list of certificates can answer. A note that fits says that the signer made these
statements about exactly this file, not that they are true; no note is the rule and says nothing.

Two more are about others than the signer: do the notes of the pictures that went in (ingredients) fit, as far as was
found when they went in or is found now; and does a person or a company vouch for the picture, by an identity assertion
with a signature of its own.

Specifications: https://c2pa.org/specifications, versions 1 and 2; https://cawg.io/identity.
"""

import json
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO, Literal

from pydantic import BaseModel, ConfigDict

from vilaco.errors import ConfigError
from vilaco.evidence.text import plain

TRUST_ANCHORS = "VILACO_TRUST_ANCHORS"
"""Environment variable: a PEM file, or a folder of such, with the certificates of those whose signature is trusted."""
HOW_TO_GET = "pip install 'vilaco[report]'"

_UNTRUSTED, _TRUSTED = "signingCredential.untrusted", "signingCredential.trusted"
_IDENTITY, _IDENTITY_LABEL = "cawg.", "cawg.identity"
_IDENTITY_HOLDS = ("cawg.x509.credential.trusted", "cawg.ica.credential_valid")
_IDENTITY_UNTRUSTED = ("cawg.x509.credential.untrusted", "cawg.ica.untrusted_issuer")
_TRUST_IN_WORDS = {
    "trusted": "intact, and signed by someone on the trust list",
    "untrusted": "intact, but signed by someone who is not on the trust list",
    "not checked": "intact; the signer was not checked, for there is no trust list",
}
_CERTIFICATES = (".pem", ".crt", ".cer")
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
        ingredient_faults: What did not fit in a picture that went in: its title and the code.
        identity: Who vouches for the picture by an identity assertion.
        identity_trust: Whether that assertion holds: ``"broken"`` where its signature does not fit, ``"not checked"``
            where nothing was found out; ``None`` where there is none.
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
    ingredient_faults: tuple[str, ...] = ()
    identity: str | None = None
    identity_trust: Literal["trusted", "untrusted", "broken", "not checked"] | None = None
    note: str | None = None

    @property
    def in_words(self) -> str:
        """What was found, in one sentence without names.

        Example:
            >>> Credentials(status="present", intact=True, trust="untrusted").in_words
            'intact, but signed by someone who is not on the trust list'
        """
        if self.status != "present":
            named = self.note if self.status == "not checked" else None
            return f"{self.status}: {named}" if named else self.status
        found = _TRUST_IN_WORDS[self.trust or "not checked"] if self.intact else "broken: they do not fit the file"
        return f"{found}; a picture that went in has broken ones" if self.ingredient_faults else found


def trust_anchors(given: Path | None = None) -> str | None:
    """The certificates that the user trusts, PEM text, or ``None`` where none are named.

    Args:
        given: A PEM file, or a folder with such; what `TRUST_ANCHORS` names if ``None``.

    Raises:
        ConfigError: If a file cannot be read, or there is no certificate.
    """
    named = os.environ.get(TRUST_ANCHORS)
    if given is None and not named:
        return None
    called = f"{TRUST_ANCHORS}={named}" if given is None else str(given)
    place = Path(named or "") if given is None else given
    try:
        files = sorted(place.iterdir()) if place.is_dir() else [place]
        wanted = [file for file in files if not place.is_dir() or file.suffix.lower() in _CERTIFICATES]
        text = "\n".join(file.read_text("ascii") for file in wanted)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "not a PEM text file"
        raise ConfigError(f"{called}: cannot be read ({reason})") from None
    if "BEGIN CERTIFICATE" not in text:
        raise ConfigError(f"{called}: holds no certificate in PEM form")
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
    codes = _codes(store.get("validation_results", {}).get("activeManifest") or {})
    found = codes["failure"] or [str(status.get("code")) for status in store.get("validation_status") or []]
    identity_faults = [code for code in found if code.startswith(_IDENTITY)]
    faults = [code for code in found if code != _UNTRUSTED and code not in identity_faults]
    intact = store.get("validation_state") in ("Valid", "Trusted") or (bool(identity_faults) and not faults)
    trusted = store.get("validation_state") == "Trusted" or _TRUSTED in codes["success"]
    trust: Literal["trusted", "untrusted", "not checked"] = "untrusted" if has_anchors else "not checked"
    identity = [_identity(each) for each in manifest.get("assertions") or [] if _is_identity(each)]
    return Credentials(
        status="present",
        intact=intact,
        trust="trusted" if intact and trusted else trust,
        signer=plain(signer) or None,
        signed_at=signature.get("time"),
        program=plain(", ".join(programs) or str(manifest.get("claim_generator") or "")) or None,
        actions=tuple(actions[:_MAX_LISTED]),
        ingredients=tuple(_title(ingredient) for ingredient in (manifest.get("ingredients") or [])[:_MAX_LISTED]),
        faults=tuple(dict.fromkeys(map(plain, faults)))[:_MAX_LISTED],
        ingredient_faults=tuple(dict.fromkeys(_ingredient_faults(store)))[:_MAX_LISTED],
        identity=plain("; ".join(filter(None, identity))) or ("not named" if identity else None),
        identity_trust=_identity_trust(codes["success"], identity_faults) if identity else None,
    )


def _codes(results: dict[str, Any]) -> dict[str, list[str]]:
    kinds = ("success", "informational", "failure")
    return {kind: [str(status.get("code")) for status in results.get(kind) or []] for kind in kinds}


def _ingredient_faults(store: dict[str, Any]) -> Iterator[str]:
    """Faults of the pictures that went in, and of those that went into them: noted when they did, and found now."""
    for manifest in store["manifests"].values():
        for ingredient in manifest.get("ingredients") or []:
            noted = _codes((ingredient.get("validation_results") or {}).get("activeManifest") or {})["failure"]
            noted += [str(status.get("code")) for status in ingredient.get("validation_status") or []]
            yield from (f"{_title(ingredient)}: {plain(code)}" for code in noted if code != _UNTRUSTED)
    for delta in store.get("validation_results", {}).get("ingredientDeltas") or []:
        now = _codes(delta.get("validationDeltas") or {})["failure"]
        yield from (f"a picture that went in: {plain(code)}" for code in now if code != _UNTRUSTED)


def _title(ingredient: dict[str, Any]) -> str:
    return plain(str(ingredient.get("title") or "without a title"))


def _is_identity(assertion: dict[str, Any]) -> bool:
    return str(assertion.get("label", "")).startswith(_IDENTITY_LABEL)


def _identity(assertion: dict[str, Any]) -> str:
    """Who vouches, by their certificate or by the accounts that an aggregator has checked."""
    data = assertion.get("data") or {}
    signature = data.get("signature_info") or {}
    accounts = data.get("verified_identities") or data.get("verifiedIdentities") or []
    names = [signature.get("common_name"), signature.get("issuer")]
    for account in accounts:
        provider = (account.get("provider") or {}).get("name")
        name = account.get("name") or account.get("username")
        names.append(f"{name} ({provider})" if name and provider else name)
    return ", ".join(dict.fromkeys(str(name) for name in names if name))


def _identity_trust(
    success: Sequence[str], faults: Sequence[str]
) -> Literal["trusted", "untrusted", "broken", "not checked"]:
    if any(code not in _IDENTITY_UNTRUSTED for code in faults):
        return "broken"
    if faults:
        return "untrusted"
    return "trusted" if any(code in _IDENTITY_HOLDS for code in success) else "not checked"


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
