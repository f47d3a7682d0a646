"""What must not stand on a command line: from the environment, or from a file `.env` that git ignores."""

from __future__ import annotations

import logging
import os
from pathlib import Path

from dotenv import dotenv_values

from netnormal.tables import InputError

FILE = ".env"
_log = logging.getLogger("netnormal")
_warned: set[str] = set()


def secret(name: str) -> str:
    """The value of `name` in the environment, else in the file .env of the working folder, else "".

    Raises InputError if there is such a file and it cannot be read.
    """
    if name in os.environ:
        return os.environ[name].strip()
    path = Path(FILE)
    if not path.is_file():
        return ""
    try:
        value = dotenv_values(path, interpolate=False).get(name)
        shared = os.name == "posix" and path.stat().st_mode & 0o077
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(path, "cannot be read", "make it yours, and text of lines NAME=value") from error
    if value and shared and str(path.resolve()) not in _warned:
        _warned.add(str(path.resolve()))
        _log.warning("%s has secrets and other users can read it: run  chmod 600 %s", path, path)
    return (value or "").strip()


def secrets(prefix: str) -> dict[str, str]:
    """All that is set and begins with `prefix`, by name, in order of names. The environment comes before the file.

    Raises InputError as `secret` does.
    """
    path = Path(FILE)
    try:
        known = dotenv_values(path, interpolate=False) if path.is_file() else {}
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(path, "cannot be read", "make it yours, and text of lines NAME=value") from error
    names = sorted(name for name in {*os.environ, *known} if name.startswith(prefix) and name != prefix)
    return {name: value for name in names if (value := secret(name))}
