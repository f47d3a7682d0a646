"""How names of DNS are spelt in packet tables."""

from __future__ import annotations

import re

_ODD_BYTE = re.compile(rb"\\(25[0-5]|2[0-4][0-9]|[01][0-9]{2})")


def name_bytes(name: str) -> bytes:
    r"""The bytes of a name, labels with dots between, as they were asked for: each `\DDD` was one (RFC 4343).

    So no decoded name has more than 253 (RFC 1035 2.3.4); one that somebody wrote into a table may.
    """
    data = name.encode()
    return _ODD_BYTE.sub(lambda found: bytes([int(found[1])]), data) if b"\\" in data else data
