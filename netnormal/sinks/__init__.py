"""Where results go besides the files of `results/`: databases, alerts, other tools.

A sink is told of everything once, as it comes. It works in a thread of its own where it may have to wait, so that it
never stops capture or detection: what fails is said once, counted, and tried again within bounds.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any, Protocol

import pandas as pd

from netnormal.settings import Settings
from netnormal.suppressions import Suppressions


class Sink(Protocol):
    """What takes results. No method raises for a reason that lies outside the program, but `close` of a batch run."""

    def scores(self, rows: pd.DataFrame) -> None:
        """Rows of tables.SCORES of one or more closed windows."""

    def incidents(self, documents: Sequence[dict[str, Any]]) -> None:
        """Incidents (`detection.documents`) that are new or changed since the last call.

        The same incident_id is the same incident, grown.
        """

    def tick(self, now_ns: int) -> None:
        """Packet time moved on to `now_ns` (following only)."""

    def close(self) -> None:
        """Pass on what waits, within bounds, and let go. Raises InputError where a batch run could not be kept."""


def opened(args: Any, settings: Settings, rules: Suppressions) -> list[Sink]:
    """The sinks that the command line (args of detect.py) and the settings ask for; `rules` tell what not to tell.

    Raises InputError if one cannot work: an address that is none, a database of a newer version.
    """
    return []


@contextmanager
def closing(sinks: Sequence[Sink]) -> Iterator[Sequence[Sink]]:
    """Closes each of the sinks at the end, also when another one, or the block, raises."""
    with ExitStack() as stack:
        for sink in reversed(sinks):
            stack.callback(sink.close)
        yield sinks
