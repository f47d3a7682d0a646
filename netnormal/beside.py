"""detect.py --follow beside a capture: started with it, ended after it, and never in its way."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import IO

from netnormal.interrupts import Interrupts

END_S = 300  # how long the end of a capture waits until the rest of it is judged
SILENT_S = 2  # ... without a word
_SCRIPT = Path(__file__).resolve().parent.parent / "detect.py"
_GO_ON = "python detect.py --follow  goes on where it was"
_ALONE = ("--alert", "--evidence", "--no-alert")  # options of detect.py that may stand alone, without a blank
_log = logging.getLogger("netnormal")


class Detecting:
    """A context manager around a capture. It follows `table`; `say` is called with each line that it prints.

    Its standard input stays open as long as we capture: when it ends, be it by kill -9, the rest is judged and the
    process ends by itself. It does not hear the terminal's Ctrl+C, which is for us: one that comes while we wait for
    the rest ends it. If it fails, that is said, and the capture goes on.
    """

    def __init__(
        self,
        table: Path,
        options: Sequence[str],
        environment: Mapping[str, str],
        say: Callable[[str], None],
        signals: Interrupts,
    ) -> None:
        self._command = [sys.executable, str(_SCRIPT), "--follow", "--until-eof", "--capture", str(table), *options]
        self._environment, self._say, self._signals = dict(environment), say, signals
        self._ending = False

    def __enter__(self) -> Detecting:
        self._process = subprocess.Popen(
            self._command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=os.environ | self._environment,
            encoding="utf-8",
            errors="replace",
            process_group=0 if os.name == "posix" else None,
        )
        self._reader = threading.Thread(target=self._read, args=(self._process.stdout,), name="beside", daemon=True)
        self._reader.start()
        return self

    def _read(self, stream: IO[str]) -> None:
        for line in stream:
            self._say(line.rstrip("\n"))
        code = self._process.wait()
        if self._ending:
            if code:
                _log.warning("detection %s; %s", ended(code), _GO_ON)
        else:
            _log.warning("detection %s; the capture goes on (%s)", ended(code), _GO_ON)

    def __exit__(self, *_: object) -> None:
        self._ending = True
        if self._process.stdin:
            self._process.stdin.close()
        self._reader.join(SILENT_S)
        if self._reader.is_alive():
            self._signals.next(self._process.kill)
            _log.info("the capture is complete; detection judges the rest of it (Ctrl+C leaves that for another time)")
            self._reader.join(END_S)
        if self._reader.is_alive():
            _log.warning("detection is %d s behind", END_S)
            self._process.kill()
            self._reader.join()


def ended(code: int) -> str:
    """How a process ended, by its exit code."""
    if code >= 0:
        return f"ended with exit code {code}"
    try:
        return f"was killed ({signal.Signals(-code).name})"
    except ValueError:
        return f"was killed (signal {-code})"


def joined(words: Sequence[str]) -> list[str]:
    """The words of a command line, in which an option of detect.py behind --detect is that option's argument.

    argparse takes `--detect --evidence` for two options, quoted or not.
    """
    found: list[str] = []
    for word in words:
        if found[-1:] == ["--detect"] and word in _ALONE:
            found[-1] = f"--detect={word}"
        else:
            found.append(word)
    return found
