"""detect.py --follow beside a capture: started with it, ended after it, and never in its way."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import IO

END_S = 300  # how long the end of a capture waits until the rest of it is judged
_SCRIPT = Path(__file__).resolve().parent.parent / "detect.py"
_log = logging.getLogger("netnormal")


class Detecting:
    """A context manager around a capture. It follows `table`; `say` is called with each line that it prints.

    Its standard input stays open as long as we capture: when it ends, be it by kill -9, the rest is judged and the
    process ends by itself. It does not hear the terminal's Ctrl+C, which is for us. If it fails, that is said, and the
    capture goes on.
    """

    def __init__(
        self, table: Path, options: Sequence[str], environment: Mapping[str, str], say: Callable[[str], None]
    ) -> None:
        self._command = [sys.executable, str(_SCRIPT), "--follow", "--until-eof", "--capture", str(table), *options]
        self._environment, self._say, self._ending = dict(environment), say, False

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
        if code or not self._ending:
            _log.warning("detection ended (exit code %d); the capture is not touched by that", code)

    def __exit__(self, *_: object) -> None:
        self._ending = True
        if self._process.stdin:
            self._process.stdin.close()
        self._reader.join(END_S)
        if self._reader.is_alive():
            _log.warning("detection is %d s behind and is ended; the next --follow goes on from there", END_S)
            self._process.kill()
            self._reader.join()
