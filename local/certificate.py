"""The certificate authority of the local cloud, and a certificate for this machine's own names.

They are made at start, kept in a folder that git ignores, and reused while valid. Clients trust the
authority through ``SSL_CERT_FILE`` alone, so no client of the app has a switch that weakens TLS.
"""

import fcntl
import ipaddress
import os
import ssl
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

LIFE: Final = timedelta(days=30)
RENEW_BEFORE: Final = timedelta(days=2)
NAMES: Final = ("localhost",)
ADDRESSES: Final = ("127.0.0.1", "::1")
_KEY_MODE: Final = 0o600


@dataclass(frozen=True, slots=True)
class LocalCertificate:
    """The paths of the files. All of them are PEM."""

    certificate: Path
    """The leaf, followed by the authority that signed it."""
    key: Path
    authority: Path
    trust: Path
    """The file for ``SSL_CERT_FILE``: the local authority, then this machine's own."""

    def server_context(self) -> ssl.SSLContext:
        """Return the TLS context of a server with this certificate."""
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(self.certificate, self.key)
        return context

    def client_context(self) -> ssl.SSLContext:
        """Return the TLS context of a client that trusts only this authority."""
        return ssl.create_default_context(cafile=str(self.authority))


def ensure_certificate(folder: Path) -> LocalCertificate:
    """Return the certificate in *folder*; make a new one if it is absent or about to expire."""
    paths = LocalCertificate(
        certificate=folder / "localhost.pem",
        key=folder / "localhost-key.pem",
        authority=folder / "ca.pem",
        trust=folder / "trust.pem",
    )
    folder.mkdir(parents=True, exist_ok=True)
    # Two clouds that start at once must not mix one's key with the other's certificate.
    with (folder / "certificate.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not _is_usable(paths):
            _make(paths)
    return paths


def _is_usable(paths: LocalCertificate) -> bool:
    files = (paths.certificate, paths.key, paths.authority, paths.trust)
    if not all(path.is_file() for path in files):
        return False
    leaf, _, _ = paths.certificate.read_bytes().partition(b"-----END CERTIFICATE-----")
    try:
        certificate = x509.load_pem_x509_certificate(leaf + b"-----END CERTIFICATE-----\n")
        paths.server_context()
    except (ValueError, ssl.SSLError):
        return False
    return certificate.not_valid_after_utc - RENEW_BEFORE > datetime.now(UTC)


def _make(paths: LocalCertificate) -> None:
    authority_key = ec.generate_private_key(ec.SECP256R1())
    authority = _authority(authority_key)
    leaf_key = ec.generate_private_key(ec.SECP256R1())
    leaf = _leaf(authority, authority_key, leaf_key)
    own = authority.public_bytes(serialization.Encoding.PEM)
    # The authority's key is never written, so it cannot sign anything else later.
    _write(paths.key, _pem(leaf_key), mode=_KEY_MODE)
    _write(paths.certificate, leaf.public_bytes(serialization.Encoding.PEM) + own)
    _write(paths.authority, own)
    _write(paths.trust, own + _system_authorities())


def _authority(key: ec.EllipticCurvePrivateKey) -> x509.Certificate:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Local cloud of this machine")])
    return (
        _certificate(name, name, key.public_key())
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(sign_certificates=True), critical=True)
        # Even with the key, a certificate could only be signed for this machine's names.
        .add_extension(
            x509.NameConstraints(
                permitted_subtrees=[
                    *(x509.DNSName(each) for each in NAMES),
                    *(x509.IPAddress(ipaddress.ip_network(each)) for each in ADDRESSES),
                ],
                excluded_subtrees=None,
            ),
            critical=True,
        )
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )


def _leaf(
    authority: x509.Certificate,
    authority_key: ec.EllipticCurvePrivateKey,
    key: ec.EllipticCurvePrivateKey,
) -> x509.Certificate:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    names = [
        *(x509.DNSName(each) for each in NAMES),
        *(x509.IPAddress(ipaddress.ip_address(each)) for each in ADDRESSES),
    ]
    return (
        _certificate(name, authority.subject, key.public_key())
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(sign_certificates=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(authority_key.public_key()),
            critical=False,
        )
        .sign(authority_key, hashes.SHA256())
    )


def _certificate(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey
) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + LIFE)
    )


def _usage(*, sign_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        key_cert_sign=sign_certificates,
        crl_sign=sign_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _system_authorities() -> bytes:
    """Return this machine's trusted certificates, if they are one file. npm needs them."""
    known = ssl.get_default_verify_paths().openssl_cafile
    return b"\n" + Path(known).read_bytes() if known and Path(known).is_file() else b""


def _pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )


def _write(path: Path, content: bytes, *, mode: int = 0o644) -> None:
    """Replace *path* atomically: a concurrent reader gets the complete old file."""
    temporary = path.with_suffix(".tmp")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
    temporary.replace(path)
