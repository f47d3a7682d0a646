"""What detect.py says on the terminal: how many incidents, the worst in a sentence each, and the traffic's health."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd
from rich.console import Console
from rich.table import Table
from rich.text import Text

from netnormal import notices, quantities, tables
from netnormal.plain import plain

MOST_SHOWN = 10
COLOURS = {"critical": "bold white on red", "high": "bold red", "medium": "yellow", "low": "cyan"}


def tell(document: dict[str, Any], again: bool, day: str = "") -> None:
    """Print one incident (`detection.documents`) in a sentence, as it forms; `again`: it grew much since.

    day : a date to print before it.
    """
    console = Console(highlight=False, soft_wrap=True)
    if day:
        console.print(f"{day}, UTC", style="dim")
    severity, clock = document["severity"], document["start"][11:19]
    title = plain(document["title"]) + ("  (goes on)" if again else "")
    console.print(
        Text.assemble(
            f"{clock}  {document['incident_id']}  ",
            (f"{severity:8}", COLOURS[severity]),
            f"  {title}",
        )
    )


def show(incidents: pd.DataFrame, summary: dict[str, Any], also: Sequence[str] = ()) -> None:
    """Print incidents (tables.INCIDENTS, worst first) and what the summary says of traffic and health.

    also : further sentences, without full stops.
    """
    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = 200  # a file or a pipe has no width: let the reader wrap
    found = summary["detection"]
    counts = incidents["severity"].astype(str).value_counts()
    by_severity = ", ".join(f"{counts[name]} {name}" for name in COLOURS if name in counts)
    head = f"{len(incidents):,} incidents ({by_severity})" if len(incidents) else "No incidents"
    head = head.replace("1 incidents", "1 incident") if len(incidents) == 1 else head
    traffic = "the conversations given"
    if "packets" in summary:
        traffic = f"{summary['packets']:,} packets over {quantities.span(summary['duration_s'])}"
        traffic += f", {found['anomalous_packets_ratio']:.1%} of them anomalous"
    console.print(Text.assemble((head, "bold"), f" in {traffic}"))
    if len(incidents):
        console.print()
        table = Table.grid(padding=(0, 2))
        for _, row in incidents.head(MOST_SHOWN).iterrows():
            clock = tables.iso(row["start"])[11:19]
            table.add_row(
                row["incident_id"], clock, Text(row["severity"], COLOURS[row["severity"]]), Text(row["title"])
            )
        console.print(table)
        if len(incidents) > MOST_SHOWN:
            console.print(f"… and {len(incidents) - MOST_SHOWN:,} more")
        console.print("(times are UTC)", style="dim")
    for line in (*also, *beyond(found), *noticed(found)):
        console.print(Text(f"{line[:1].upper()}{line[1:]}.", "dim"))
    health = summary.get("health")
    if health and health["status"] != "ok":
        console.print()
        console.print(Text(f"Health: {health['status']}: {'; '.join(health['reasons'])}", "yellow"))
    console.print()


def beyond(found: dict[str, Any]) -> list[str]:
    """What the summary's section `detection` says of windows that were too full, as `noticed` does."""
    count = found["packets_beyond_packets_per_window"]
    why = "windows keep their first packets only (`extract_features.packets_per_window` in params.yaml)"
    return [f"{why}: {count:,} packets were left out of one"] if count else []


def noticed(found: dict[str, Any]) -> list[str]:
    """What the summary's section `detection` says of notices, in a sentence without a full stop; none without any."""
    counts = notices.counted(found["notices"])
    return [f"worth knowing, but no incidents: {counts}: see notices.csv"] if counts else []
