"""Evidence: for each incident a folder that can be handed on, with its packets, a picture, its numbers and its story.

The packets are those that the incident's display filter selects (`display_filter.select`), byte for byte.
"""

from __future__ import annotations

import logging
import re
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from netnormal import display_filter, frames, inputs, packets, tables
from netnormal.settings import Evidence

BINS = 60  # of the timeline, over the incident and a fifth of its length before and after
DPI = 120
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
    writer: frames.PcapWriter | None = None
    matched: int = 0
    other_link: int = 0  # matched, but of a link type that the pcap file cannot hold beside the first
    captures: list[str] = field(default_factory=list)


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
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder, prefix=".new.") as name:
            new = Path(name)
            cases = [_case(document, new) for document in chosen]
            _gather(cases, captures, settings.packets)
            for case in cases:
                _finish(case, settings.packets)
            for old in folder.iterdir():
                if not old.name.startswith(".") and (old / "incident.json").is_file():
                    shutil.rmtree(old)
            for case in cases:
                case.folder.rename(folder / case.folder.name)
    except OSError as error:
        raise tables.InputError(
            folder, f"cannot be written ({error.strerror})", "make room or choose another --output"
        ) from error
    return len(cases)


def _case(document: dict[str, Any], new: Path) -> _Case:
    start, end = display_filter.span(document["display_filter"])
    margin = max((end - start) // 5, SECOND)
    edges = np.linspace(start - margin, end + margin + 1, BINS + 1).astype(np.int64)
    folder = new / document["incident_id"]
    folder.mkdir()
    return _Case(document, start, end, folder, edges, np.zeros(BINS, np.int64), np.zeros(BINS, np.int64))


def _gather(cases: list[_Case], captures: Sequence[Path], most: int) -> None:
    with ExitStack() as stack:
        for capture, block, table in _blocks(captures):
            time = table["time"].to_numpy()
            for case in cases:
                near = np.flatnonzero((time >= case.edges[0]) & (time <= case.edges[-1]))
                if not near.size:
                    continue
                chosen = near[display_filter.select(case.document["display_filter"], table.iloc[near])]
                mine = np.histogram(time[chosen], case.edges)[0]
                case.mine += mine
                case.others += np.histogram(time[near], case.edges)[0] - mine
                if chosen.size:
                    _keep(case, capture, block.select(chosen), most, stack)


def _blocks(captures: Sequence[Path]) -> Iterator[tuple[Path, frames.Frames, pd.DataFrame]]:
    for capture in captures:
        decoder = packets.Decoder()
        with frames.open_capture(capture) as source:
            for block in source:
                yield capture, block, decoder.decode(block)


def _keep(case: _Case, capture: Path, chosen: frames.Frames, most: int, stack: ExitStack) -> None:
    case.matched += len(chosen)
    if capture.name not in case.captures:
        case.captures.append(capture.name)
    if case.writer is None:
        writer = frames.PcapWriter(case.folder / "packets.pcap", int(chosen.link_type[0]), _SNAPLEN)
        case.writer = stack.enter_context(writer)
    fitting = np.flatnonzero(chosen.link_type == case.writer.link_type)
    case.other_link += len(chosen) - len(fitting)
    case.writer.append(chosen.select(fitting[: most - case.writer.packets]))


def _finish(case: _Case, most: int) -> None:
    from netnormal import figures  # matplotlib takes its time; who wants no evidence does not wait for it

    if case.writer is None:
        with frames.PcapWriter(case.folder / "packets.pcap", 1, _SNAPLEN) as case.writer:
            pass
    tables.write_json(case.folder / "incident.json", case.document)
    picture = figures.incident(case.edges, case.mine, case.others, case.document["severity"])
    (case.folder / "timeline.png").write_bytes(picture.png(DPI))
    (case.folder / "README.md").write_text(_story(case, most), "utf-8")


def _story(case: _Case, most: int) -> str:
    document, kept = case.document, case.writer.packets if case.writer else 0
    some = f"{kept:,} of {case.matched:,} packets that the filter selects"
    cut = f"All {kept:,} packets that the filter selects"
    if case.other_link:
        cut = f"{some}; {case.other_link:,} are of another link type"
    elif kept < case.matched:
        cut = f"The first {some} (`detect.evidence.packets`: {most:,})"
    facts = [
        ("when (UTC)", f"{document['start']} to {document['end']}"),
        ("pattern", document["pattern"].replace("_", " ")),
        ("ATT&CK technique", document["technique"] or "none"),
        ("severity", document["severity"]),
        ("source", document["source"]),
        ("destinations", ", ".join(document["destinations"])),
        ("services", ", ".join(document["services"])),
        ("why", document["reasons"]),
    ]
    lines = [f"# {document['incident_id']}: {plain(document['title'])}", "", "| | |", "|---|---|"]
    lines += [f"| {name} | {plain(value)} |" for name, value in facts]
    lines += [
        "",
        "The Wireshark display filter, for the whole capture:",
        "",
        "```",
        document["display_filter"],
        "```",
        "",
    ]
    lines += [
        f"- `packets.pcap`: {cut}, as they were captured, from {plain(', '.join(case.captures) or 'no capture')}."
    ]
    lines += ["- `timeline.png`: packets over time, the incident's and all others, with what was before and after."]
    lines += ["- `incident.json`: the incident as in `incidents.json`.", ""]
    return "\n".join(lines)


def plain(text: object) -> str:
    """Text that may come from the network, for one line of Markdown: shown as it is, never markup."""
    shown = "".join(c if c.isprintable() else "?" for c in str(text))
    return re.sub(r"([\\`*_\[\]<>#|~&!])", r"\\\1", shown)
