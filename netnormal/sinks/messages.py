"""What an alert says. Names that came from the network stay text: no header, link, mention or markup comes of them."""

from __future__ import annotations

import platform
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from netnormal import advice
from netnormal.plain import plain
from netnormal.tables import SEVERITIES

MOST_LISTED = 20  # incidents that a digest names
_MOST_SUBJECT, _MOST_LINE = 200, 1500
#: What chat services read as a mention, a link or markup → what looks alike and means nothing to them.
_HARMLESS = str.maketrans("<>@!`[]*&", "‹›＠！'［］＊＆")


@dataclass(frozen=True)
class Message:
    """A subject and a text of several lines; `exact` lines are for channels that change nothing (no chats)."""

    severity: str
    subject: str
    text: str
    exact: str = ""

    def line(self) -> str:
        """All in one line, as logs want it."""
        return f"{self.severity}: {self.subject}" if self.severity else self.subject

    def title(self) -> str:
        return f"[netnormal] {self.line()}"

    def body(self) -> str:
        return f"{self.text}{self.exact}\n{_from()}\n"

    def chat_title(self) -> str:
        return f"netnormal: {_harmless(self.line())}"

    def chat_body(self) -> str:
        return f"{_harmless(self.text)}\n{_harmless(_from())}"


def rank(severity: str) -> int:
    """0 for low … 3 for critical; -1 for what is never told."""
    return len(SEVERITIES) - 1 - SEVERITIES.index(severity) if severity in SEVERITIES else -1


def of_incident(document: dict[str, Any]) -> Message:
    """A message about one incident (`detection.documents`)."""
    hint = advice.of(str(document["pattern"]))
    technique = f", MITRE {document['technique']}" if document.get("technique") else ""
    rows = [
        ("Severity", document["severity"]),
        ("First packet", _time(document["start"])),
        ("Last so far", _time(document["end"])),
        ("Source", document["source"]),
        ("To", ", ".join(document["destinations"])),
        ("Services", ", ".join(document["services"])),
        ("Kind", f"{document['pattern']}{technique}"),
        ("Why", document["reasons"]),
        ("Normal", document.get("normal")),
        ("It may be", hint.means),
        ("Look at", hint.then),
        ("Incident", f"{document['incident_id']} in incidents.csv"),
    ]
    return Message(
        document["severity"],
        _text(document["title"], _MOST_SUBJECT),
        f"{_text(document['title'])}\n\n{_rows(rows)}",
        _rows([("Wireshark", document["display_filter"])]),
    )


def in_short(document: dict[str, Any]) -> dict[str, str]:
    """What a digest says of an incident: severity, start, title."""
    title = _text(f"{document['title']} ({document['incident_id']})", 300)
    return {"severity": document["severity"], "start": document["start"], "title": title}


def digest(incidents: Sequence[dict[str, str]], more: int, why: str) -> Message:
    """One message about several incidents (`in_short`), of which `more` were not kept. why: what they are, in words."""
    worst = sorted(incidents, key=lambda one: (-rank(one["severity"]), one["start"]))
    counts = {name: sum(one["severity"] == name for one in worst) for name in SEVERITIES}
    by_severity = ", ".join(f"{count:,} {name}" for name, count in counts.items() if count)
    count = len(worst) + more
    subject = f"{count:,} incident{'s' if count > 1 else ''} ({by_severity})"
    lines = [f"{one['severity']:<9} {_time(one['start'])}  {_text(one['title'])}" for one in worst[:MOST_LISTED]]
    if count > len(lines):
        lines.append(f"… and {count - len(lines):,} more, in incidents.csv")
    return Message(worst[0]["severity"], subject, f"{subject}: {why}\n\n" + "\n".join(lines) + "\n")


def of_rate(share: float, packets: int, seconds: float, threshold: float) -> Message:
    """More packets than bearable belong to conversations that are anomalous."""
    subject = f"{share:.0%} of all packets are anomalous"
    text = f"Of {packets:,} packets in {seconds:g} s {share:.1%} belong to unusual conversations; the threshold is "
    text += f"{threshold:.0%}.\nEither something large is going on, or the network is no longer what was learnt.\n"
    return Message("high", subject, text)


def test() -> Message:
    return Message("", "this is a test", "If you can read this, alerts reach you here.\n")


def _rows(rows: Sequence[tuple[str, object]]) -> str:
    return "".join(f"{name:<13} {_text(value)}\n" for name, value in rows if value)


def _text(value: object, most: int = _MOST_LINE) -> str:
    return plain(value, most).replace("://", ": //")  # no program that shows it makes a link of it


def _time(text: str) -> str:
    return f"{plain(text, 40)[:19].replace('T', ' ')} UTC"


def _from() -> str:
    return f"netnormal on {plain(platform.node() or 'this machine', 100)}"


def _harmless(text: str) -> str:
    return text.translate(_HARMLESS)
