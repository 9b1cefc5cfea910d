"""Content credentials with certificates that tests make for themselves."""

import datetime
import io
import json
from typing import NamedTuple


class Signer(NamedTuple):
    """A signer's certificates and private key, and the certificate at their root, in PEM."""

    chain: bytes
    key: bytes
    root: str


def make_signer() -> Signer:
    """A signer whom nobody knows, until the root is trusted."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

    keys = {name: ec.generate_private_key(ec.SECP256R1()) for name in ("root", "leaf")}
    now = datetime.datetime.now(datetime.UTC)

    def name(common: str) -> x509.Name:
        parts = {NameOID.COMMON_NAME: common, NameOID.ORGANIZATION_NAME: "Press <b>", NameOID.COUNTRY_NAME: "DE"}
        return x509.Name([x509.NameAttribute(oid, text) for oid, text in parts.items()])

    def certificate(who: str) -> bytes:
        is_root, public = who == "root", keys[who].public_key()
        usage = x509.KeyUsage(not is_root, False, False, False, False, is_root, is_root, False, False)
        issuer_key = x509.AuthorityKeyIdentifier.from_issuer_public_key(keys["root"].public_key())
        builder = (
            x509.CertificateBuilder()
            .subject_name(name(who))
            .issuer_name(name("root"))
            .public_key(public)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(1))
            .not_valid_after(now + datetime.timedelta(9))
            .add_extension(x509.BasicConstraints(is_root, None), True)
            .add_extension(usage, True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), False)
            .add_extension(issuer_key, False)
        )
        if not is_root:
            builder = builder.add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.EMAIL_PROTECTION]), False)
        return builder.sign(keys["root"], hashes.SHA256()).public_bytes(serialization.Encoding.PEM)

    key = keys["leaf"].private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    root = certificate("root")
    return Signer(certificate("leaf") + root, key, root.decode())


def sign(data: bytes, signer: Signer, remote: str | None = None) -> bytes:
    """A JPEG file with content credentials; ``remote`` is the address where they lie in place of the file."""
    import c2pa

    actions = [
        {
            "action": "c2pa.created",
            "digitalSourceType": "http://cv.iptc.org/newscodes/digitalsourcetype/digitalCapture",
        },
        {"action": "c2pa.edited", "softwareAgent": "<script>alert(1)</script>"},
    ]
    manifest = {
        "claim_generator_info": [{"name": "test camera", "version": "1"}],
        "assertions": [{"label": "c2pa.actions", "data": {"actions": actions}}],
    }
    info = c2pa.C2paSignerInfo(c2pa.C2paSigningAlg.ES256, signer.chain, signer.key, None)
    out = io.BytesIO()
    with c2pa.Builder(json.dumps(manifest)) as builder, c2pa.Signer.from_info(info) as notary:
        if remote is not None:
            builder.set_no_embed()
            builder.set_remote_url(remote)
        builder.sign(notary, "image/jpeg", io.BytesIO(data), out)
    return out.getvalue()
