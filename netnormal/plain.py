"""Text that came from the network, made harmless for whoever shows it."""

from __future__ import annotations

_FORMULAS = ("=", "+", "-", "@", "\t", "\r")  # how a cell begins that a spreadsheet would compute (OWASP)


def plain(text: object, most: int = 500) -> str:
    r"""`text` on one line, of at most `most` characters; what cannot be printed becomes \xNN or \uNNNN.

    That takes control characters, lone surrogates, and characters that turn the direction of writing.
    """
    words = str(text)[: 4 * most]
    if not words.isprintable():
        words = "".join(c if c.isprintable() else _spelt(ord(c)) for c in words)
    return words if len(words) <= most else words[: most - 1] + "…"


def cell(text: str) -> str:
    """A text that a spreadsheet shows instead of computing it."""
    return f"'{text}" if text.startswith(_FORMULAS) and len(text) > 1 else text


def _spelt(code: int) -> str:
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
