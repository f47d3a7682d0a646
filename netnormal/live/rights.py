"""Being root only as long as it takes to open the sockets."""

from __future__ import annotations

import contextlib
import os
import shlex
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

from netnormal.tables import InputError


def needed() -> str:
    """The command to type to be allowed to capture on this system."""
    if sys.platform == "win32":
        return "install Npcap and start an administrator's terminal, see docs/windows.md"
    command = f"run  {shlex.join(['sudo', sys.executable, *sys.argv])}"
    if sys.platform.startswith("linux"):
        interpreter = shlex.quote(str(Path(sys.executable).resolve()))
        command += f"  (or, once for all users of this Python,  sudo setcap cap_net_raw=eip {interpreter})"
    return command


def drop(user: str | None, files: Iterable[str]) -> str | None:
    """Stop being root: become `user`, or who called sudo; their name, None if nothing changed. `files` become theirs.

    Raises InputError if there is no such user, or we are not root and cannot become one.
    """
    if sys.platform == "win32" or os.geteuid() != 0:
        if user:
            raise InputError(f"--user {user}", "only root can become another user", "leave it out, or use sudo")
        return None
    import pwd

    name = user or os.environ.get("SUDO_USER", "")
    if not name or name == "root":
        return None
    try:
        entry = pwd.getpwnam(name)
    except KeyError:
        raise InputError(f"--user {name}", "there is no such user", "see  getent passwd") from None
    for path in files:
        os.chown(path, entry.pw_uid, entry.pw_gid)
    os.initgroups(name, entry.pw_gid)
    os.setgid(entry.pw_gid)
    os.setuid(entry.pw_uid)
    os.environ["HOME"] = entry.pw_dir
    return name


@contextlib.contextmanager
def reading_as(user: str | None) -> Iterator[None]:
    """What is missing of the program is missing because `user` may not read it: then an InputError says so.

    All that a capture needs is loaded before; this is for what was overlooked. None: nobody's rights were dropped.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        if user is None:
            raise
        remedy = f"name another --user, or let {user} read {sys.prefix}"
        raise InputError(f"--user {user}", f"may not read all of this program ({error.name})", remedy) from error
