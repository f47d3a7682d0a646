"""Where results go besides the files of `results/`: databases, alerts, other tools.

A sink is told of everything once, as it comes. It works in a thread of its own where it may have to wait, so that it
never stops capture or detection: what fails is said once, counted, and tried again within bounds.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Protocol

import pandas as pd

from netnormal import stage
from netnormal.settings import Settings
from netnormal.sinks import alerts
from netnormal.sinks.address import url_of
from netnormal.sinks.database import Capture, Database
from netnormal.sinks.eve import Eve
from netnormal.sinks.indicators import Indicators
from netnormal.suppressions import Suppressions
from netnormal.tables import InputError

__all__ = [
    "Capture",
    "Database",
    "Sink",
    "alert_options",
    "closing",
    "database_of",
    "opened",
    "options",
    "test_alert",
]


class Sink(Protocol):
    """What takes results. No method raises for a reason that lies outside the program, but `close` of a batch run."""

    def scores(self, rows: pd.DataFrame) -> None:
        """Rows of tables.SCORES of one or more closed windows."""

    def incidents(self, documents: Sequence[dict[str, Any]]) -> None:
        """Incidents (`detection.documents`) that are new or changed since the last call.

        The same incident_id is the same incident, grown.
        """

    def resumed(self, documents: Sequence[dict[str, Any]]) -> None:
        """Incidents that an earlier run was told of (following only, before all else): they are no news."""

    def tick(self, now_ns: int) -> None:
        """Packet time moved on to `now_ns` (following only)."""

    def close(self) -> None:
        """Pass on what waits, within bounds, and let go. Raises InputError where a batch run could not be kept."""


def opened(args: Any, settings: Settings, rules: Suppressions) -> list[Sink]:
    """The sinks that the command line (args of detect.py) and the settings ask for; `rules` tell what not to tell.

    Raises InputError if one cannot work: an address that is none, a database of a newer version.
    """
    live = getattr(args, "follow", False)
    found: list[Sink] = [Eve(Path(args.output) / "eve.json", rules)]
    if args.indicators:
        found.append(Indicators(Path(args.indicators), rules))
    wanted = live if args.alert is None else args.alert
    channels = alerts.opened(settings.detect.alerts, needed=bool(args.alert)) if wanted else []
    if channels:
        memory = Path(args.output) / alerts.MEMORY if live else None
        window_s = settings.extract_features.windows_s[0]
        found.append(alerts.Alerts(settings.detect.alerts, channels, rules, window_s, live, memory))
    base = database_of(args, settings.detect.database_rows, live)
    if base:
        base.start()
        found.append(base)
    return found


def database_of(args: Any, most_waiting: int, live: bool) -> Database | None:
    """The database that `--database` names, not started yet. Raises InputError if it is no address of one."""
    if args.keep_days and args.database is None:
        raise InputError("--keep-days", "deletes nothing without --database", "add it, or leave out both")
    return None if args.database is None else Database(url_of(args.database), most_waiting, live, args.keep_days)


def test_alert(settings: Settings) -> str:
    """Send a test by each alert channel; returns a sentence. Raises InputError if one failed, or there is none."""
    return alerts.test(settings.detect.alerts)


def alert_options(parser: Any) -> None:
    """Add the options for alerts to the parser of detect.py."""
    group = parser.add_argument_group("alerts (docs/alerts.md)")
    group.add_argument("--alert", action="store_true", default=None, help="tell people too; --follow does so by itself")
    group.add_argument("--no-alert", action="store_false", dest="alert", help="tell nobody")
    group.add_argument("--test-alert", action="store_true", help="send a test by each channel of .env, and end")


def options(parser: Any) -> None:
    """Add the options for databases to a script's parser."""
    group = parser.add_argument_group("database (docs/database.md)")
    group.add_argument(
        "--database",
        nargs="?",
        const="",
        metavar="URL",
        help="also store into this database; without a URL NETNORMAL_DATABASE, else results/packet_logs.db",
    )
    group.add_argument(
        "--keep-days",
        type=stage.number(0, float, "number of days above 0"),
        metavar="N",
        help="delete what is older there, by packet time",
    )


@contextmanager
def closing(sinks: Sequence[Sink]) -> Iterator[Sequence[Sink]]:
    """Closes each of the sinks at the end, also when another one, or the block, raises."""
    with ExitStack() as stack:
        for sink in reversed(sinks):
            stack.callback(sink.close)
        yield sinks
