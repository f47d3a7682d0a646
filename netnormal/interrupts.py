"""Ctrl+C (SIGINT), SIGTERM and a terminal that is closed (SIGHUP), so that none is lost: not in an import, not in a
wait, not while files are finished."""

from __future__ import annotations

import signal
from collections.abc import Callable

_NUMBERS = (signal.SIGINT, signal.SIGTERM, *([signal.SIGHUP] if hasattr(signal, "SIGHUP") else []))


def end_at_once() -> None:
    """Until `Interrupts` takes over Ctrl+C ends the process by itself. Call it before the long imports.

    Python would raise KeyboardInterrupt somewhere inside them, and what is imported may swallow it.
    """
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)


class Interrupts:
    """A context manager of the main thread: within it these signals raise KeyboardInterrupt.

    Python swallows exceptions in some places (finalizers, callbacks from C): whoever loops or waits calls `check`,
    which raises again. A signal that was ignored before (`nohup`) stays so. asked: one has come.
    """

    def __init__(self) -> None:
        self.asked = False
        self._instead: Callable[[], None] | None = None

    def __enter__(self) -> Interrupts:
        self._before = {number: signal.getsignal(number) for number in _NUMBERS}
        for number, handler in self._before.items():
            if handler is not signal.SIG_IGN:
                signal.signal(number, self._heard)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _heard(self, *_: object) -> None:
        self.asked = True
        if self._instead is None:
            raise KeyboardInterrupt
        self._instead()

    def check(self) -> None:
        """Raise KeyboardInterrupt if one has come."""
        if self.asked and self._instead is None:
            raise KeyboardInterrupt

    def then(self, action: Callable[[], None]) -> None:
        """From now on they call `action` instead, however many come; at once if one has come before."""
        self.next(action)
        if self.asked:
            action()

    def next(self, action: Callable[[], None]) -> None:
        """Those that come from now on call `action` instead."""
        self._instead = action
