"""Captures and incidents → a folder for each incident.

packets.pcap holds the packets that the incident's display filter selects (`display_filter.select`), byte for byte and
nothing else, so that it proves what the incident says. context.pcap holds what else its hosts did around it.
"""

from __future__ import annotations

import logging
import re
import shutil
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from netnormal import display_filter, frames, inputs, packets, tables, words
from netnormal.explanation import said
from netnormal.patterns import KINDS, MANY
from netnormal.plain import plain
from netnormal.settings import Evidence

BACKWARD_NS = 60 * 10**9  # so far a clock may have been set back while a live capture ran
BINS = 60  # of the timeline, over the incident and a fifth of its length before and after
DPI = 120
MOST_LETTERS = 8000  # of a line in README.md
SECOND = 1_000_000_000
_SNAPLEN = 262_144  # what Wireshark takes for the longest frame
_log = logging.getLogger("netnormal")


@dataclass
class _Case:
    """What is gathered for one incident while the captures are read."""

    document: dict[str, Any]
    start: int
    end: int
    folder: Path
    edges: np.ndarray  # int64[BINS + 1], ns
    mine: np.ndarray  # packets of the incident in each bin
    others: np.ndarray
    hosts: frozenset[str]  # whose other packets are context
    since: int  # context: from when [ns]
    until: int
    packets: _Kept
    context: _Kept
    captures: list[str] = field(default_factory=list)
    read_until: int | None = None  # reading took too long: only up to here [ns]

    @property
    def span(self) -> tuple[int, int]:
        """What of a capture has to be looked at [ns]."""
        return min(int(self.edges[0]), self.since), max(int(self.edges[-1]), self.until)


@dataclass
class _Kept:
    """A pcap file, made with its first packet. Matched are more than are in it, if they were too many."""

    path: Path
    most: int
    writer: frames.PcapWriter | None = None
    matched: int = 0
    other_link: int = 0  # matched, but of a link type that the pcap file cannot hold beside the first

    @property
    def kept(self) -> int:
        return self.writer.packets if self.writer else 0

    def take(self, chosen: frames.Frames, stack: ExitStack) -> None:
        if not len(chosen):
            return
        self.matched += len(chosen)
        if self.writer is None:
            self.writer = stack.enter_context(frames.PcapWriter(self.path, int(chosen.link_type[0]), _SNAPLEN))
        fitting = np.flatnonzero(chosen.link_type == self.writer.link_type)
        self.other_link += len(chosen) - len(fitting)
        self.writer.append(chosen.select(fitting[: self.most - self.writer.packets]))


def pcaps(path: str) -> list[Path]:
    """The captures with the frames behind what detect.py judged: `path` itself, or the pcap beside a packet CSV.

    Of a folder one for each of its captures, in order. Raises InputError where frames are missing.
    """
    return [_pcap(file) for file in (inputs.captures(Path(path)) if Path(path).is_dir() else [Path(path)])]


def _pcap(file: Path) -> Path:
    if frames.is_capture(file):
        return file
    stem = file.with_name(file.name.removesuffix(".gz")).with_suffix("")
    for ending in (".pcap", ".pcapng", ".pcap.gz", ".pcapng.gz"):
        beside = stem.with_name(stem.name + ending)
        if frames.is_capture(beside):
            return beside
    what = f"has no {stem.name}.pcap beside it, so there are no packets to show (all other results are written)"
    raise tables.InputError(file, what, "judge the capture file itself, --input FILE.pcap, or put it beside the CSV")


def write(folder: Path, documents: Sequence[dict[str, Any]], captures: Sequence[Path], settings: Evidence) -> int:
    """A folder in `folder` for each of the first `settings.incidents` documents (`detection.documents`, worst first).

    The captures are read once. Folders of earlier evidence go when all new ones are complete. Returns how many there
    are now. Raises InputError if a capture cannot be read or a file not be written.
    """
    chosen = documents[: settings.incidents]
    if len(documents) > len(chosen):
        _log.warning("evidence of the worst %d of %d incidents only", len(chosen), len(documents))
    with _made(folder, chosen, captures, settings) as cases:
        for old in _there(folder):
            shutil.rmtree(old)
        _put(folder, cases)
    return len(chosen)


def add(
    folder: Path, documents: Sequence[dict[str, Any]], captures: Sequence[Path], settings: Evidence, most_s: float
) -> None:
    """As `write`, but evidence of other incidents stays: of more than `settings.incidents` the latest written.

    captures : of a live capture, in order of time. After `most_s` seconds reading ends, and README.md says so.
    """
    with _made(folder, documents, captures, settings, most_s) as cases:
        _put(folder, cases)
        there = sorted(_there(folder), key=lambda one: (one.stat().st_mtime_ns, one.name))
        for old in there[: max(len(there) - settings.incidents, 0)]:
            shutil.rmtree(old)


@contextmanager
def _made(
    folder: Path,
    documents: Sequence[dict[str, Any]],
    captures: Sequence[Path],
    settings: Evidence,
    most_s: float | None = None,
) -> Iterator[list[_Case]]:
    """The cases, complete in a place of their own, from which they have to be taken."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder, prefix=".new.") as name:
            cases = [_case(document, Path(name), settings) for document in documents]
            _gather(cases, captures, most_s)
            for case in cases:
                _finish(case, settings)
            yield cases
    except OSError as error:
        raise tables.InputError(
            folder, f"cannot be written ({error.strerror})", "make room or choose another --output"
        ) from error


def _there(folder: Path) -> list[Path]:
    return [old for old in folder.iterdir() if not old.name.startswith(".") and (old / "incident.json").is_file()]


def _put(folder: Path, cases: list[_Case]) -> None:
    for case in cases:
        place = folder / case.folder.name
        if place.exists():
            shutil.rmtree(place)
        case.folder.rename(place)


def _case(document: dict[str, Any], new: Path, settings: Evidence) -> _Case:
    start, end = display_filter.span(document["display_filter"])
    margin = max((end - start) // 5, SECOND)
    edges = np.linspace(start - margin, end + margin + 1, BINS + 1).astype(np.int64)
    folder = new / document["incident_id"]
    folder.mkdir()
    source = document["source"]
    hosts = frozenset(document["destinations"] if source == MANY else [source])
    reach = round(settings.context_s * SECOND)
    return _Case(
        document,
        start,
        end,
        folder,
        edges,
        np.zeros(BINS, np.int64),
        np.zeros(BINS, np.int64),
        hosts,
        start - reach,
        end + reach,
        _Kept(folder / "packets.pcap", settings.packets),
        _Kept(folder / "context.pcap", settings.context_packets),
    )


def _gather(cases: list[_Case], captures: Sequence[Path], most_s: float | None) -> None:
    """Read the captures once. most_s: of a live capture, and for so long at most."""
    if not cases:
        return
    spans = [case.span for case in cases]
    first, last = min(low for low, _ in spans), max(high for _, high in spans)
    ending = None if most_s is None else time.monotonic() + most_s
    with ExitStack() as stack:
        for capture, block in _blocks(captures, first):
            if ending is not None and len(block):
                if block.time.min() > last + BACKWARD_NS:
                    return
                if time.monotonic() > ending:
                    for case in cases:
                        case.read_until = int(block.time[0]) if block.time[0] < case.span[1] else None
                    return
            wanted = np.zeros(len(block), bool)
            for low, high in spans:
                wanted |= (block.time >= low) & (block.time <= high)
            if wanted.any():
                _take(cases, capture, block.select(np.flatnonzero(wanted)), stack)


def _take(cases: list[_Case], capture: Path, block: frames.Frames, stack: ExitStack) -> None:
    table = packets.Decoder().decode(block)
    when = table["time"].to_numpy()
    for case in cases:
        low, high = case.span
        near = np.flatnonzero((when >= low) & (when <= high))
        if not near.size:
            continue
        rows = table.iloc[near]
        mine = display_filter.select(case.document["display_filter"], rows)
        beside = _of_hosts(rows, case.hosts) & ~mine & (when[near] >= case.since) & (when[near] <= case.until)
        counts = np.histogram(when[near[mine]], case.edges)[0]
        case.mine += counts
        case.others += np.histogram(when[near], case.edges)[0] - counts
        case.packets.take(block.select(near[mine]), stack)
        case.context.take(block.select(near[beside]), stack)
        if mine.any() and capture.name not in case.captures:
            case.captures.append(capture.name)


def _of_hosts(rows: pd.DataFrame, hosts: frozenset[str]) -> np.ndarray:
    """Which packets one of the hosts sent or received."""
    found = np.zeros(len(rows), bool)
    for name in ("src_ip", "dst_ip", "src_mac", "dst_mac"):
        found |= rows[name].isin(hosts).to_numpy()
    return found


def _blocks(captures: Sequence[Path], first: int) -> Iterator[tuple[Path, frames.Frames]]:
    """All blocks that may hold packets from `first` (ns) on."""
    for capture in captures:
        with frames.open_capture(capture) as source:
            if byte := _place(capture, first):
                source.skip_to(byte)
            for block in source:
                yield capture, block


def _place(capture: Path, first: int) -> int:
    """The byte of a live capture's pcap before which no packet is from `first` (ns) on, by its manifest; 0: unknown."""
    try:
        about = tables.read_json(capture.with_suffix(".json"), "")
        places = [(tables.nanoseconds(str(end)), int(byte)) for end, byte in about.get("pcap_places", [])]
    except (tables.InputError, TypeError, ValueError):
        return 0
    known = [byte for end, byte in places if end < first and byte < capture.stat().st_size]
    return max(known, default=0)


def _finish(case: _Case, settings: Evidence) -> None:
    from netnormal import figures  # matplotlib takes its time; who wants no evidence does not wait for it

    for kept in (case.packets, case.context):
        if kept.writer is None:
            frames.PcapWriter(kept.path, 1, _SNAPLEN).close()
    tables.write_json(case.folder / "incident.json", case.document)
    picture = figures.incident(case.edges, case.mine, case.others, case.document["severity"])
    (case.folder / "timeline.png").write_bytes(picture.png(DPI))
    (case.folder / "README.md").write_text(_story(case, settings), "utf-8")


def _counted(kept: _Kept, all_of: str, setting: str) -> str:
    """How many packets of `all_of` are in the file, and why not all."""
    some = f"{kept.kept:,} of {kept.matched:,} {all_of}"
    if kept.other_link:
        return f"{some}; {kept.other_link:,} are of another link type"
    if kept.kept < kept.matched:
        return f"the first {some} (`detect.evidence.{setting}`: {kept.most:,})"
    return f"all {kept.kept:,} {all_of}"


def _story(case: _Case, settings: Evidence) -> str:
    document = case.document
    named = document["pattern"] in KINDS
    numbers = words.evidence(document["evidence"]) if named else ""
    facts = [
        ("when (UTC)", f"{document['start']} to {document['end']}"),
        ("pattern", document["pattern"].replace("_", " ")),
        ("ATT&CK technique", document["technique"] or "none"),
        ("severity", document["severity"]),
        ("source", document["source"]),
        ("destinations", ", ".join(document["destinations"])),
        ("services", ", ".join(document["services"])),
        ("in numbers", numbers),
        ("normal instead", document["normal"]),
        ("Community IDs", " ".join(document["community_ids"])),
    ]
    lines = [f"# {document['incident_id']}: {markdown(document['title'])}", "", "| | |", "|---|---|"]
    lines += [f"| {name} | {markdown(value)} |" for name, value in facts if value]
    if document["explanation"]:
        lines += ["", "What the model found unusual, and its share of that:", ""]
        lines += [f"- {markdown(said(one))}: {one['share']:.0%}" for one in document["explanation"]]
    lines += [
        "",
        "The Wireshark display filter, for the whole capture:",
        "",
        "```",
        document["display_filter"],
        "```",
        "",
    ]
    own = _counted(case.packets, "packets that the filter selects", "packets")
    beside = f"other packets of {', '.join(sorted(case.hosts)[:5]) or 'nobody'}"
    beside += f", from {settings.context_s:g} s before to {settings.context_s:g} s after"
    lines += [
        f"- `packets.pcap`: {own}, as they were captured, from {markdown(', '.join(case.captures) or 'no capture')}.",
        f"- `context.pcap`: {markdown(_counted(case.context, beside, 'context_packets'))}.",
        "- `timeline.png`: packets over time, the incident's and all others, with what was before and after.",
        "- `incident.json`: the incident as in `incidents.json`.",
        "",
    ]
    if case.read_until is not None:
        until = tables.iso(case.read_until)
        lines += [f"Reading the capture took too long: what came after {until} is in none of these files.", ""]
    return "\n".join(lines)


def markdown(text: object) -> str:
    """Text that may come from the network, for one line of Markdown: shown as it is, never markup."""
    return re.sub(r"([\\`*_\[\]<>#|~&!])", r"\\\1", plain(text, MOST_LETTERS))
