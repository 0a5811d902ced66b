"""Certificates for tests, as a folder of files."""

import subprocess
from pathlib import Path


def certificates(
    folder: Path, address: str = "127.0.0.1", *, names: str | None = None, days: str = "30"
) -> None:
    """Make an authority, and certificates of a server (at this address) and a client.

    `names` instead of the address, and localhost; of 0 `days` they have expired.
    """

    def openssl(*words: str) -> None:
        subprocess.run(["openssl", *words], cwd=folder, check=True, capture_output=True)

    new = ("req", "-newkey", "rsa:2048", "-nodes")
    authority = (
        *("-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-extfile", "names"),
        *("-days", days),
    )
    openssl(*new, "-x509", "-keyout", "ca.key", "-out", "ca.pem", "-subj", "/CN=authority")
    named = names or f"IP:{address},DNS:localhost"
    (folder / "names").write_text(f"subjectAltName={named}\n")
    for name in ("server", "client"):
        openssl(*new, "-keyout", f"{name}.key", "-out", f"{name}.csr", "-subj", f"/CN={name}")
        openssl("x509", "-req", "-in", f"{name}.csr", *authority, "-out", f"{name}.pem")
