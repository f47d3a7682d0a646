"""Figures and tables → one HTML page that needs nothing else: no network, no script, no other file.

All text goes through Jinja2 with escaping on: what came from the network (names, addresses) is shown, never obeyed.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import jinja2
import numpy as np
import pandas as pd

from netnormal import __version__
from netnormal.figures import SEVERITIES
from netnormal.figures.words import size
from netnormal.tallies import Tallies

IN_SUMMARY = 7  # incidents named on the first page
IN_DETAIL = 40  # incidents with their reasons
IN_BRIEF = 200  # incidents with a line each; the rest is in incidents.csv

#: Of each picture its name (also its file's), what it shows, and how to read it: first those of what was found.
FOUND = {
    "incidents": ("Incidents over time", "A lane is one source doing one kind of thing. Colour is severity."),
    "scores": (
        "Score over time",
        "Stronger colour: more packets. Above the dashed line are anomalies; the strip on top shows incidents.",
    ),
    "anomalies": (
        "Anomalous conversations by host and protocol",
        "Who began the conversations that were unusual in at least one window.",
    ),
}
SEEN = {
    "traffic_volume": ("Traffic volume over time", "Orange is the part that belongs to anomalous conversations."),
    "throughput": ("Throughput over time", "Stacked by protocol. The dashed line is the mean."),
    "protocols": ("Protocols", "Many packets with few bytes are typical of scans and floods."),
    "top_sources": ("Most active source addresses", "By packets sent. Orange is the anomalous part."),
    "top_destinations": ("Most active destination addresses", "By packets received. Orange is the anomalous part."),
    "packet_sizes": (
        "Packet sizes",
        "Each step up is ten times as many. Small packets are requests and acknowledgements, the largest carry data.",
    ),
    "handshake_latency": (
        "TCP handshake latency",
        "From SYN to SYN-ACK, as seen where the capture was made: how far away servers are, and when they were slow.",
    ),
}


def page(
    pictures: Mapping[str, Mapping[str, bytes]],
    incidents: pd.DataFrame,
    *,
    subject: str,
    looked_at: Sequence[tuple[str, str]],
    health: Sequence[str],
    statistics: Sequence[tuple[str, Sequence[tuple[str, str]]]],
) -> str:
    """The report as HTML.

    pictures   : by names of FOUND and SEEN, PNGs by names of figures.LOOKS; others are left out.
    incidents  : tables.INCIDENTS, worst first.
    subject    : one line that says which traffic this is about.
    looked_at  : names and values; `health` sentences, none if all is well; `statistics` groups of names and values.
    """
    rows = [_incident(row) for row in incidents.head(IN_DETAIL + IN_BRIEF).itertuples(index=False)]
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("report.html.j2").render(
        headline=headline(incidents),
        subject=subject,
        total=len(incidents),
        worst=rows[:IN_SUMMARY],
        detailed=rows[:IN_DETAIL],
        brief=rows[IN_DETAIL:],
        left_out=max(len(incidents) - IN_DETAIL - IN_BRIEF, 0),
        looked_at=looked_at,
        health=health,
        statistics=statistics,
        found=[_embedded(FOUND[name], pictures[name]) for name in FOUND if name in pictures],
        seen=[_embedded(SEEN[name], pictures[name]) for name in SEEN if name in pictures],
        version=__version__,
    )


def headline(incidents: pd.DataFrame) -> str:
    """How many incidents of which severity, in a few words."""
    if not len(incidents):
        return "No incidents"
    counts = incidents["severity"].astype(str).value_counts()
    parts = [f"{counts[name]:,} {name}" for name in SEVERITIES if name in counts]
    return f"{len(incidents):,} incident{'s' if len(incidents) > 1 else ''}: {', '.join(parts)}"


def _incident(row: Any) -> dict[str, Any]:
    """What the template shows of a row of tables.INCIDENTS."""
    moment = _clock(row.start)
    lasting = _lasting((row.end - row.start) / 1e9)
    known = [
        ("When", f"{str(np.datetime64(row.start, 'ns'))[:10]} {moment} to {_clock(row.end)} UTC ({lasting})"),
        ("Who", row.source),
        ("To whom", _listed(row.destinations)),
        ("Services", _listed(row.services)),
        ("Amount", f"{row.packets:,} packets, {size(row.bytes)}"),
        ("Score", f"{row.score:.3f}"),
        (
            "Kind",
            f"{str(row.pattern).replace('_', ' ')}" + (f", ATT&CK {row.technique}" if _has(row.technique) else ""),
        ),
    ]
    return {
        "anchor": row.incident_id,
        "severity": row.severity if row.severity in SEVERITIES else "low",
        "title": row.title,
        "when": f"{moment} UTC, {lasting}",
        "facts": [(name, value) for name, value in known if _has(value)],
        "reasons": [part.strip() for part in str(row.reasons).split("; ") if part.strip()] if _has(row.reasons) else [],
        "display_filter": row.display_filter if _has(row.display_filter) else "",
    }


def _embedded(words: tuple[str, str], looks: Mapping[str, bytes]) -> dict[str, str]:
    """A picture for the template: its words, and each of its looks as a data URI (RFC 2397)."""
    data = {look: "data:image/png;base64," + base64.b64encode(png).decode() for look, png in looks.items()}
    return {"title": words[0], "caption": words[1], **data}


def _has(value: object) -> bool:
    return isinstance(value, str) and value != ""


def _listed(words: object, most: int = 8) -> str:
    """Blank-separated `words` with commas; how many are left out if there are more than `most`."""
    parts = str(words).split() if _has(words) else []
    return ", ".join(parts[:most]) + (f" and {len(parts) - most} more" if len(parts) > most else "")


def _clock(time_ns: int) -> str:
    return str(np.datetime64(int(time_ns), "ns"))[11:19]


def _lasting(seconds: float) -> str:
    if seconds < 1:
        return "under a second"
    for factor, unit in ((86_400, "days"), (3600, "h"), (60, "min")):
        if seconds >= 2 * factor:
            return f"{seconds / factor:.3g} {unit}"
    return f"{seconds:.0f} s"


def span(start_ns: int, end_ns: int) -> str:
    """First to last moment in words, to the second, with how long it is."""
    first, last = (str(np.datetime64(int(t), "ns"))[:19].replace("T", " ") for t in (start_ns, end_ns))
    last = last[11:] if first[:10] == last[:10] else last
    return f"{first} to {last} UTC ({_lasting((end_ns - start_ns) / 1e9)})"


def sentences(items: Iterable[object]) -> list[str]:
    """Texts that say something, as text."""
    return [str(item) for item in items if item]


def looked_at(seen: Tallies, summary: Mapping[str, Any]) -> list[tuple[str, str]]:
    """What the report is about, in names and values."""
    if not seen.packets:
        return [("Packets", "none")]
    hosts = pd.concat([seen.sources.table()["host"], seen.destinations.table()["host"]]).nunique()
    share = 100 * seen.anomalous / seen.packets
    return [
        ("Time", span(seen.start, seen.end)),
        ("Packets", f"{seen.packets:,} ({size(seen.bytes)})"),
        ("Anomalous", f"{seen.anomalous:,} packets ({share:.2g} %)"),
        ("Addresses", f"{hosts:,}"),
    ]


def health(summary: Mapping[str, Any]) -> list[str]:
    """Sentences about what may be missing or doubtful; none if all is well."""
    return sentences(summary.get("health", []))


def statistics(summary: Mapping[str, Any]) -> list[tuple[str, list[tuple[str, str]]]]:
    """Groups of names and values for the traffic's section."""
    return []
