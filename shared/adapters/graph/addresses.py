"""Reads the addresses of people as Exchange and its clients write them."""

import hashlib
import re
from typing import Final

_IN_BRACKETS: Final = re.compile(r"<([^<>]*)>\s*$")
_SCHEME: Final = re.compile(r"^(?:mailto|smtp):", re.IGNORECASE)


def read_address(text: str) -> str:
    """Return the SMTP or X.500 address in *text*, in lower case; "" if *text* is empty.

    Takes ``Ada Lindqvist <ada@contoso.com>`` as well. A name without an address becomes
    ``unknown:`` and a hash, because names are not kept.

    Source: https://github.com/microsoftgraph/microsoft-graph-docs-contrib/issues/825
    """
    found = _IN_BRACKETS.search(text)
    address = _SCHEME.sub("", (found[1] if found else text).strip().strip("'\"").strip()).lower()
    if not address or address.startswith("/o="):
        return address
    if "@" not in address or any(c.isspace() for c in address):
        return f"unknown:{hashlib.sha256(address.encode()).hexdigest()[:16]}"
    return address
