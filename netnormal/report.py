"""Figures and tables → one HTML page that needs nothing else: no network, no script, no other file.

All text goes through Jinja2 with escaping on: what came from the network (names, addresses) is shown, never obeyed.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jinja2
import numpy as np
import pandas as pd

from netnormal import __version__, advice, answers, explanation, notices, quantities, words
from netnormal.patterns import KINDS
from netnormal.tables import SEVERITIES, nanoseconds

IN_SUMMARY = 5  # incidents named on the first page
IN_CULPRITS = 4  # sources named on the first page
IN_DETAIL = 40  # incidents with their reasons
IN_IDS = 3  # Community IDs of an incident
IN_BRIEF = 200  # incidents with a line each; the rest is in incidents.csv
IN_NOTICES = 100  # of what is new; the rest is in notices.csv

#: Of each picture its name (also its file's), what it shows, and how to read it: first those of what was found.
FOUND = {
    "incidents": ("Incidents over time", "A lane is one source doing one kind of thing. Colour is severity."),
    "scores": (
        "Score over time",
        "Orange was judged anomalous, by the model or by a named pattern. The stronger the colour, the more packets.",
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
    details: Mapping[str, Mapping[str, Any]],
    *,
    subject: str,
    about: Facts,
    new: pd.DataFrame,
    hidden: Sequence[str] = (),
) -> str:
    """The report as HTML.

    pictures   : by names of FOUND and SEEN, PNGs by names of figures.LOOKS; others are left out.
    incidents  : tables.INCIDENTS, worst first.
    details    : by the id of each incident its document, see `documents`.
    subject    : one line that says which traffic this is about.
    about      : see `facts`.
    new        : tables.NOTICES.
    hidden     : sentences about incidents that are suppressed, see `suppressions`.
    """
    shown = incidents.head(IN_DETAIL + IN_BRIEF).itertuples(index=False)
    rows = [_incident(row, details[str(row.incident_id)]) for row in shown]
    deeds = [_Deed.of(row) for row in incidents.itertuples(index=False)]
    culprits = answers.culprits(deeds)
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
        who=answers.who(deeds) if deeds else "",
        culprits=[_culprit(one) for one in culprits[:IN_CULPRITS]],
        more_culprits=max(len(culprits) - IN_CULPRITS, 0),
        total=len(incidents),
        worst=rows[:IN_SUMMARY],
        detailed=rows[:IN_DETAIL],
        brief=rows[IN_DETAIL:],
        left_out=max(len(incidents) - IN_DETAIL - IN_BRIEF, 0),
        about=about,
        hidden=[_sentence(line) for line in hidden],
        new=[
            (f"{_clock(start)} UTC", title)
            for start, title in zip(new["start"].head(IN_NOTICES).tolist(), new["title"].head(IN_NOTICES), strict=True)
        ],
        new_total=len(new),
        found=[_embedded(FOUND[name], pictures[name]) for name in FOUND if name in pictures],
        seen=[_embedded(SEEN[name], pictures[name]) for name in SEEN if name in pictures],
        version=__version__,
    )


def headline(incidents: pd.DataFrame) -> str:
    """How many incidents of which severity, in a few words. incidents: tables.INCIDENTS."""
    return answers.headline(incidents["severity"].astype(str))


@dataclass(frozen=True)
class _Deed:
    """What `answers` asks of a row of tables.INCIDENTS."""

    source: str
    pattern: str
    severity: str
    destinations: tuple[str, ...]
    start: int
    end: int

    @classmethod
    def of(cls, row: Any) -> _Deed:
        to_whom = tuple(row.destinations.split()) if _has(row.destinations) else ()
        return cls(str(row.source), str(row.pattern), _severity(row), to_whom, row.start, row.end)


def _severity(row: Any) -> str:
    return row.severity if row.severity in SEVERITIES else "low"


def _culprit(one: answers.Culprit) -> dict[str, Any]:
    """What the template shows of all that one source did."""
    return {
        "name": answers.name_of(one.source),
        "severity": one.worst,
        "facts": [
            ("What", f"{one.incidents:,} incident{'s' if one.incidents > 1 else ''}: {answers.listed(one.kinds, 8)}"),
            ("To whom", answers.listed(one.targets, 4) or "nobody in particular"),
            ("When", f"{_clock(one.start)} to {_clock(one.end)} UTC"),
        ],
    }


def _incident(row: Any, document: Mapping[str, Any]) -> dict[str, Any]:
    """What the template shows of a row of tables.INCIDENTS and its document."""
    moment = _clock(row.start)
    lasting = quantities.span((row.end - row.start) / 1e9)
    known = [
        ("When", f"{str(np.datetime64(row.start, 'ns'))[:10]} {moment} to {_clock(row.end)} UTC ({lasting})"),
        ("Who", answers.name_of(str(row.source))),
        ("To whom", _listed(row.destinations)),
        ("Services", _listed(row.services)),
        ("Amount", f"{row.packets:,} packets, {quantities.size(row.bytes)}"),
        ("How sure", answers.sure(str(row.pattern), float(row.score))),
        (
            "Kind",
            answers.kind(str(row.pattern)) + (f", ATT&CK {row.technique}" if _has(row.technique) else ""),
        ),
        ("Community ID", _listed(" ".join(document["community_ids"]), IN_IDS)),
    ]
    return {
        "anchor": row.incident_id,
        "severity": _severity(row),
        "basis": answers.basis(str(row.pattern)),
        "next": advice.of(str(row.pattern)).then,
        "means": advice.of(str(row.pattern)).means,
        "title": row.title,
        "when": f"{moment} UTC",
        "facts": [(name, value) for name, value in known if _has(value)],
        "evidence": words.evidence(document["evidence"]) if str(row.pattern) in KINDS else "",
        "features": [_feature(one) for one in document["explanation"]],
        "normal": document["normal"],
        "display_filter": row.display_filter if _has(row.display_filter) else "",
    }


def _embedded(words: tuple[str, str], looks: Mapping[str, bytes]) -> dict[str, str]:
    """A picture for the template: its words, and each of its looks as a data URI (RFC 2397)."""
    data = {look: "data:image/png;base64," + base64.b64encode(png).decode() for look, png in looks.items()}
    return {"title": words[0], "caption": words[1], **data}


def _feature(entry: Mapping[str, Any]) -> dict[str, str]:
    """A feature that made an incident unusual, as cells of a table."""
    ranged = entry["value"] is not None
    return {
        "words": entry["words"],
        "value": explanation.amount(entry) if ranged else "",
        "usual": f"{explanation.usual(entry)} in {entry['window_s']:g} s" if ranged else "",
        "share": f"{entry['share']:.0%}",
    }


def _has(value: object) -> bool:
    return isinstance(value, str) and value != ""


def _listed(words: object, most: int = 8) -> str:
    """Blank-separated `words` with commas; how many are left out if there are more than `most`."""
    parts = str(words).split() if _has(words) else []
    return ", ".join(parts[:most]) + (f" and {len(parts) - most} more" if len(parts) > most else "")


def _clock(time_ns: int) -> str:
    return str(np.datetime64(int(time_ns), "ns"))[11:19]


def span(start_ns: int, end_ns: int) -> str:
    """First to last moment in words, to the second, with how long it is."""
    first, last = (str(np.datetime64(int(t), "ns"))[:19].replace("T", " ") for t in (start_ns, end_ns))
    last = last[11:] if first[:10] == last[:10] else last
    return f"{first} to {last} UTC ({quantities.span((end_ns - start_ns) / 1e9)})"


@dataclass(frozen=True)
class Facts:
    """What results/summary.json says, in words: names and values, and sentences of what is doubtful."""

    looked_at: list[tuple[str, str]]
    sound: bool
    health: list[str]
    statistics: list[tuple[str, list[tuple[str, str]]]]


def facts(summary: Mapping[str, Any]) -> Facts:
    """The words for a summary.json. Raises KeyError or TypeError if it is none that detect.py wrote for packets."""
    found, model, health = summary["detection"], summary["model"], summary["health"]
    lengths = ", ".join(f"{length} s" for length in found["window_lengths_s"])
    distinct = summary["distinct"]
    looked_at = [
        ("Time", span(nanoseconds(summary["start"]), nanoseconds(summary["end"])) if summary["packets"] else "none"),
        ("Packets", f"{summary['packets']:,} ({quantities.size(summary['bytes'])})"),
        ("Anomalous", f"{found['anomalous_packets']:,} packets ({found['anomalous_packets_ratio']:.2%})"),
        ("Addresses", f"{'' if distinct['exact'] else 'at least '}{distinct['ip_addresses']:,}"),
        (
            "Compared with",
            f"traffic of {span(nanoseconds(model['baseline_start']), nanoseconds(model['baseline_end']))}",
        ),
        ("In windows of", lengths or "no length: named patterns only"),
    ]
    new = notices.counted(found["notices"])
    looked_at += [("New, but no incident", new)] if new else []
    doubts = [str(reason) for reason in health["reasons"]]
    if found["window_lengths_without_model_s"]:
        left_out = ", ".join(f"{length} s" for length in found["window_lengths_without_model_s"])
        doubts.append(f"the baseline is too short for windows of {left_out}: slow behaviour is harder to see")
    doubts += [str(model["promise"])] if model["promise"] else []
    if health["kernel_drops"] is None:
        doubts.append("nobody counted the packets that the capture may have lost")
    rate, shaken, sizes = summary["throughput"], summary["handshake_latency"], summary["packet_sizes"]
    statistics = [
        (
            "Throughput",
            [
                ("Mean", f"{rate['mean_mbit_per_s']:.3g} Mbit/s, {rate['mean_packets_per_s']:,.0f} packets/s"),
                ("In 1 s", f"up to {rate['peak_mbit_per_s']:.3g} Mbit/s, {rate['peak_packets_per_s']:,} packets"),
                ("Packets", f"{sizes['mean_bytes'] or 0:,.0f} bytes on average, at most {sizes['largest_bytes']:,}"),
            ],
        ),
        (
            "TCP handshakes",
            [
                ("Complete", f"{shaken['count']:,}"),
                *(
                    (name, f"{1000 * shaken[key]:.3g} ms")
                    for name, key in (("Median", "median_s"), ("95 % within", "p95_s"), ("Slowest", "max_s"))
                    if shaken[key] is not None
                ),
            ],
        ),
        (
            "Addresses",
            [
                ("Sending", f"{distinct['source_ip_addresses']:,}"),
                ("Addressed", f"{distinct['destination_ip_addresses']:,}"),
                ("Hardware", f"{distinct['sending_hardware_addresses']:,} sending"),
            ],
        ),
    ]
    return Facts(looked_at, health["status"] == "ok", [_sentence(words) for words in doubts], statistics)


def _sentence(words: str) -> str:
    return words[:1].upper() + words[1:] + ("" if words.endswith(".") else ".")
