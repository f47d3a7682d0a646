"""The state of a live capture (recorder.Recorder.state) for people: a table on a terminal, lines elsewhere."""

from __future__ import annotations

import collections
import io
import logging
import time
from collections.abc import Iterable, Mapping
from typing import Any

from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

LINE_S = 60
_log = logging.getLogger("netnormal")


def amount(count: float) -> str:
    """Bytes in words."""
    for unit, size in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if count >= size:
            return f"{count / size:,.1f} {unit}"
    return f"{count:,.0f} bytes"


def losses(state: Mapping[str, Any]) -> str:
    """What was lost, in words; what nobody counts is not named."""
    words = {
        "kernel_drops": "kernel",
        "ring_freezes": "times full",
        "interface_drops": "interface",
        "disk_drops": "disk",
    }
    known = [f"{name} {state[key]:,}" for key, name in words.items() if state.get(key) is not None]
    return ", ".join(known) or "not counted"


def oddities(state: Mapping[str, Any]) -> str:
    """What happened to packets short of being lost, in words; nothing where nothing did."""
    words = {
        "duplicate_packets": "came twice",
        "oversized_packets": "longer than the MTU",
        "backward_steps": "before their time",
    }
    return ", ".join(f"{state[name]:,} {text}" for name, text in words.items() if state.get(name))


def line(state: Mapping[str, Any]) -> str:
    """One line."""
    odd = oddities(state)
    return (
        f"{state['elapsed_s']:,.0f} s, {state['packets']:,} packets, {state['packets_per_s']:,}/s, "
        f"{state['mbit_per_s']:,.1f} Mbit/s; lost: {losses(state)}{f'; {odd}' if odd else ''}"
    )


def table(state: Mapping[str, Any], title: str = "") -> Table:
    """All of it, readable at 80 columns."""
    shown = Table(title=title or None, show_header=False, width=78, title_justify="left", box=None, padding=(0, 1))
    shown.add_column(style="bold", width=12, no_wrap=True)
    shown.add_column(overflow="ellipsis", no_wrap=True)

    def latency(key: str) -> str:
        return "–" if state[key] is None else f"{state[key] * 1e3:,.2f} ms"

    minutes, seconds = divmod(int(state["elapsed_s"]), 60)
    rate = f"{state['packets_per_s']:,}/s, {state['mbit_per_s']:,.1f} Mbit/s"
    mean = f"mean {state['mean_packets_per_s']:,.0f}/s, {state['mean_mbit_per_s']:,.1f} Mbit/s"
    shown.add_row("elapsed", f"{minutes:,} min {seconds} s")
    shown.add_row("packets", f"{state['packets']:,} ({amount(state['wire_bytes'])})")
    shown.add_row("now", f"{rate}; {mean}")
    shown.add_row("protocols", ", ".join(f"{name} {share:.0%}" for name, share in state["protocols"].items()) or "–")
    shown.add_row("addresses", f"{state['ip_addresses']:,} IP, {state['mac_addresses']:,} MAC")
    for number, (address, sent) in enumerate(state["talkers"].items()):
        shown.add_row("" if number else "talkers", f"{address}  {amount(sent)} sent")
    shown.add_row(
        "handshakes",
        f"{state['handshakes']:,}: median {latency('handshake_median_s')}, p95 {latency('handshake_p95_s')}",
    )
    lost = any(state.get(name) for name in ("kernel_drops", "interface_drops", "disk_drops"))
    shown.add_row("lost", f"[bold red]{losses(state)}[/]" if lost else losses(state))
    if odd := oddities(state):
        shown.add_row("odd", odd)
    shown.add_row("files", f"csv {amount(state['csv_bytes'])}, pcap {amount(state['pcap_bytes'])}")
    return shown


def interfaces(listed: Iterable[Any]) -> str:
    """live.interfaces.listed() as a table of text."""
    rows = [("interface", "state", "packets/s", "type", "addresses")]
    kinds = {1: "Ethernet", 772: "loopback", 65534: "raw IP", 801: "802.11", 803: "802.11"}
    for one in listed:
        kind = "–" if one.hardware is None else kinds.get(one.hardware, f"type {one.hardware}")
        seen = "–" if one.packets is None else f"{one.packets:,}"
        rows.append((one.name, one.state, seen, kind, ", ".join(one.addresses) or "–"))
    widths = [max(len(row[i]) for row in rows) for i in range(4)]
    lines = (
        "  ".join([*(f"{cell:{width}}" for cell, width in zip(row, widths, strict=False)), row[4]]) for row in rows
    )
    return "\n".join(lines)


def prepare() -> None:
    """Load what showing needs now, rather than when we may no longer read it."""
    nothing: dict[str, Any] = {"protocols": {}, "talkers": {}, "handshake_median_s": None, "handshake_p95_s": None}
    shown = Console(file=io.StringIO(), force_terminal=True)
    shown.print(table(collections.defaultdict(int, nothing), "–"))
    shown.print(Text("–"), "[bold]:warning:[/]")


class LiveTable:
    """Shows states as they come; a context manager. On a terminal a table, and every minute a line for --log-file;
    elsewhere the line for all to read. Losses are told when they are met."""

    def __init__(self, console: Console, on_terminal: bool, title: str) -> None:
        self._title, self._on_terminal = title, on_terminal
        self._live = Live(console=console, auto_refresh=False, transient=True) if on_terminal else None
        self._said = time.monotonic()
        self._shown = -1.0
        self._drops = self._interface_drops = 0

    def __enter__(self) -> LiveTable:
        if self._live:
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._live:
            self._live.stop()

    def show(self, state: Mapping[str, Any]) -> None:
        """Take the state of now; the same again is not shown again."""
        if not state or state["elapsed_s"] == self._shown:
            return
        self._shown = state["elapsed_s"]
        if self._live:
            self._live.update(table(state, self._title), refresh=True)
        if time.monotonic() - self._said >= LINE_S:
            self._said = time.monotonic()
            _log.info(line(state), extra={"file_only": self._on_terminal})
        drops, interface = state.get("kernel_drops") or 0, state.get("interface_drops") or 0
        if drops > self._drops or interface > self._interface_drops:
            _log.warning("packets are being lost: %s", losses(state), extra={"file_only": self._on_terminal})
            self._drops, self._interface_drops = drops * 2, interface * 2  # told again when twice as bad
