"""Every numba function: arrays in, arrays out, nothing else."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

_HERE = Path(__file__).resolve().parent / "__pycache__"


def _writable(folder: Path) -> bool:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            return True
    except OSError:
        return False


def _users() -> Path:
    """Where numba keeps what it may not keep beside us."""
    kept = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache", "numba")
    try:
        return kept.expanduser()
    except RuntimeError:  # a user without a home
        return kept


# Numba refuses to compile what it cannot keep, as for a service that may write nothing here and has no home.
if os.name == "posix" and "NUMBA_CACHE_DIR" not in os.environ and not _writable(_HERE) and not _writable(_users()):
    _kept = tempfile.TemporaryDirectory(prefix="netnormal-")  # as long as we run
    os.environ["NUMBA_CACHE_DIR"] = _kept.name
