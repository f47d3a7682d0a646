"""What is new and no incident: findings of severity info, one notice for each host and kind, told apart from incidents.

No alert budget pays for them, no packet is anomalous for them, and no figure counts them.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any

import pandas as pd

from netnormal import tables, words
from netnormal.patterns import KINDS, Finding

INFO = "info"
MOST = 1_000  # notices kept; later ones are counted
MOST_NAMED = 20  # of what is new about a host
MOST_COUNTED = 1_000
OUTGROWN = {"beacon": "short_beacon"}  # pattern → the notice that it makes void


class Notices:
    """`push` the findings of each window; `rows` are tables.NOTICES as plain values, in order of time.

    Only what is of severity info is told; but calls that were too short to judge are not once they are a beacon.
    """

    def __init__(self) -> None:
        self.evicted = self.changes = 0
        self._told: dict[tuple[str, str], dict[str, Any]] = {}

    def push(self, findings: Iterable[Finding]) -> None:
        for finding in findings:
            if finding.pattern in OUTGROWN:
                self._forget((OUTGROWN[finding.pattern], finding.source), finding.hosts)
            if finding.severity != INFO:
                continue
            key = (finding.pattern, finding.source)
            if key not in self._told and len(self._told) >= MOST:
                self.evicted += 1
                continue
            self.changes += 1
            told = self._told.setdefault(key, {"start": finding.start, "end": finding.end, "what": [], "evidence": {}})
            told["start"], told["end"] = min(told["start"], finding.start), max(told["end"], finding.end)
            told["evidence"] |= finding.evidence
            for name in news(finding):
                if name not in told["what"] and len(told["what"]) < MOST_COUNTED:
                    told["what"].append(name)

    def _forget(self, key: tuple[str, str], names: Collection[str]) -> None:
        if key in self._told:
            self.changes += 1
            self._told[key]["what"] = [name for name in self._told[key]["what"] if name not in names]
            if not self._told[key]["what"]:
                del self._told[key]

    def rows(self) -> list[dict[str, Any]]:
        found = []
        for (pattern, source), told in self._told.items():
            technique, severity, _ = KINDS[pattern]
            found.append(
                {
                    "start": told["start"],
                    "end": told["end"],
                    "pattern": pattern,
                    "title": words.notice(pattern, source, told["what"], told["evidence"]),
                    "technique": technique,
                    "severity": severity,
                    "source": source,
                    "what": " ".join(told["what"][:MOST_NAMED]),
                    "count": len(told["what"]),
                }
            )
        return sorted(found, key=lambda row: (row["start"], row["pattern"], row["source"]))

    def table(self) -> pd.DataFrame:
        """A table of tables.NOTICES."""
        rows = self.rows()
        return pd.DataFrame(
            {
                column.name: pd.Categorical([row[column.name] for row in rows])
                if column.kind == "text"
                else pd.Series([row[column.name] for row in rows], dtype="int64")
                for column in tables.NOTICES
            }
        )

    def state(self) -> list[Any]:
        """All of it as values that JSON knows, for `restore`."""
        return [self.evicted, [[*key, told] for key, told in self._told.items()]]

    def restore(self, state: list[Any]) -> None:
        """Go on from `state`. Raises ValueError, TypeError or KeyError if it is nothing of the kind."""
        self.evicted, told = int(state[0]), state[1]
        self._told = {(str(pattern), str(source)): dict(one) for pattern, source, one in told}
        if any(pattern not in KINDS for pattern, _ in self._told):
            raise ValueError("unknown notices")


def counts(notices: pd.DataFrame) -> dict[str, int]:
    """How many of these (tables.NOTICES) there are of each kind."""
    kinds = notices["pattern"].astype(str).tolist()
    return {pattern: kinds.count(pattern) for pattern in sorted(set(kinds))}


def counted(counts: Mapping[str, int]) -> str:
    """How many there are of each kind, in words: 14 first contacts, 1 new device."""
    return ", ".join(f"{count:,} {kind.replace('_', ' ')}{'s' if count > 1 else ''}" for kind, count in counts.items())


def news(finding: Finding) -> tuple[str, ...]:
    """What is new about the host: its services, or whom it met; of a new device itself."""
    if finding.pattern == "new_device":
        return (finding.source,)
    return finding.services if finding.pattern == "new_service" else tuple(sorted(finding.hosts))
