"""Evidence holds what an incident's filter selects, byte for byte, as tshark reads it."""

from __future__ import annotations

import dataclasses
import gzip
import itertools
import json
import shutil
import subprocess

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netnormal import evidence, frames, settings, suppressions, tables

pytestmark = pytest.mark.xdist_group("chain")  # one process, so that the chain is made once
needs_tshark = pytest.mark.skipif(not shutil.which("tshark"), reason="needs tshark")


@pytest.fixture(scope="module")
def done(chain, sample, tmp_path_factory, run_in):
    """Results of the sample's mixed part, with evidence."""
    folder = tmp_path_factory.mktemp("evidence")
    run_in(chain, "detect.py", "--input", sample / "mixed.pcap.gz", "--output", folder, "--evidence", "-q")
    return folder, json.loads((folder / "incidents.json").read_text("utf-8"))


@pytest.fixture(scope="module")
def limits(sample):
    return settings.load(sample.parent.parent / "params.yaml").detect.evidence


def frames_of(path, *display_filter):
    """Time, length and MD5 of each frame, as tshark sees them."""
    words = ["-T", "fields", "-e", "frame.time_epoch", "-e", "frame.len", "-e", "frame.md5_hash"]
    command = ["tshark", "-n", "-o", "frame.generate_md5_hash:TRUE", "-r", path, *display_filter, *words]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()


def test_every_incident_has_a_folder_with_all_five(done):
    folder, incidents = done
    assert incidents
    assert {path.name for path in (folder / "evidence").iterdir()} == {one["incident_id"] for one in incidents}
    for one in incidents:
        case = folder / "evidence" / one["incident_id"]
        assert sorted(path.name for path in case.iterdir()) == [
            "README.md",
            "context.pcap",
            "incident.json",
            "packets.pcap",
            "timeline.png",
        ]
        assert json.loads((case / "incident.json").read_text("utf-8")) == one
        assert (case / "timeline.png").read_bytes().startswith(b"\x89PNG")
        story = (case / "README.md").read_text("utf-8")
        assert f"\n```\n{one['display_filter']}\n```\n" in story
        assert "`packets.pcap`: all " in story and one["normal"].split(",")[0] in story


@needs_tshark
def test_its_packets_are_the_frames_that_tshark_selects(done, sample):
    folder, incidents = done
    first = {one["pattern"]: one for one in reversed(incidents)}
    for one in (first[name] for name in ("icmp_flood", "arp_spoofing", "brute_force")):
        wanted = frames_of(sample / "mixed.pcap.gz", "-Y", one["display_filter"])
        mine = frames_of(folder / "evidence" / one["incident_id"] / "packets.pcap")
        same = mine == wanted  # no diff of 20,000 lines
        assert same, (one["display_filter"], len(mine), len(wanted))
        assert wanted


def test_it_is_bounded_and_says_so_and_replaces_what_was_there(done, sample, limits, tmp_path, caplog):
    _, incidents = done
    most = max(incidents, key=lambda one: one["packets"])
    (tmp_path / "I9999").mkdir()
    (tmp_path / "I9999" / "incident.json").write_text("{}")
    (tmp_path / "notes").mkdir()
    few = dataclasses.replace(limits, packets=7, incidents=1)
    assert evidence.write(tmp_path, [most, *incidents], [sample / "mixed.pcap.gz"], few) == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([most["incident_id"], "notes"])
    case = tmp_path / most["incident_id"]
    assert ": the first 7 of " in (case / "README.md").read_text("utf-8")
    with frames.open_capture(case / "packets.pcap") as source:
        assert sum(len(block) for block in source) == 7
    assert "worst 1 of" in caplog.text


def test_a_damaged_capture_leaves_earlier_evidence(done, limits, tmp_path):
    _, incidents = done
    (tmp_path / "I9999").mkdir()
    (tmp_path / "I9999" / "incident.json").write_text("{}")
    (tmp_path / "bad.pcap").write_bytes(b"no capture")
    with pytest.raises(tables.InputError, match="is no capture"):
        evidence.write(tmp_path, incidents, [tmp_path / "bad.pcap"], limits)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["I9999", "bad.pcap"]


def test_without_frames_it_says_what_to_do_and_the_rest_is_written(chain, tmp_path, run_in):
    ran = run_in(chain, "detect.py", "--input", "new.csv", "--output", tmp_path, "--evidence", fails=True)
    assert ran.stderr.splitlines()[-1].startswith("detect.py: new.csv: has no new.pcap beside it")
    assert (tmp_path / "incidents.json").stat().st_size > 10
    assert not (tmp_path / "evidence").exists()


def test_frames_are_found_beside_a_table_and_in_a_folder_of_segments(sample, tmp_path):
    """Two segments with their tables, and one capture alone."""
    from netnormal import inputs

    raw = gzip.decompress((sample / "mixed.pcap.gz").read_bytes())[:200_000]
    table = tables.concat(inputs.packet_blocks(sample / "mixed.pcap.gz")).head(50)
    for place in ("a", "b"):
        (tmp_path / place).mkdir()
        (tmp_path / place / "captured_data.pcap").write_bytes(raw)
        tables.write(tmp_path / place / "captured_data.csv", tables.PACKETS, table)
    (tmp_path / "lone.pcap").write_bytes(raw)
    found = evidence.pcaps(str(tmp_path))
    assert sorted(path.relative_to(tmp_path).as_posix() for path in found) == [
        "a/captured_data.pcap",
        "b/captured_data.pcap",
        "lone.pcap",
    ]
    assert evidence.pcaps(str(tmp_path / "a" / "captured_data.csv")) == [tmp_path / "a" / "captured_data.pcap"]
    (tmp_path / "b" / "captured_data.pcap").unlink()
    with pytest.raises(tables.InputError, match=r"b/captured_data\.csv: has no captured_data\.pcap beside it"):
        evidence.pcaps(str(tmp_path))


@given(st.text())
def test_text_from_the_network_is_one_line_and_no_markup(text):
    shown = evidence.markdown(text)
    assert shown.isprintable()
    assert evidence.markdown("<b>|`[x](y)\x1b[2J") == r"\<b\>\|\`\[x\](y)\\x1b\[2J"


# ---------------------------------------------------------------- what was beside it


@needs_tshark
def test_context_is_what_else_its_source_did_at_that_time(done, sample, limits):
    folder, incidents = done
    one = next(one for one in incidents if one["pattern"] == "icmp_flood")
    start, end = evidence.cases.display_filter.span(one["display_filter"])
    seconds = [f"{(t // 10**9)}.{t % 10**9:09}" for t in (start - 10 * 10**9, end + 10 * 10**9)]
    fields = ("ip.addr", "arp.src.proto_ipv4", "arp.dst.proto_ipv4")
    own = "(" + " || ".join(f"{field} == {one['source']}" for field in fields) + ")"
    when = f"frame.time_epoch >= {seconds[0]} && frame.time_epoch <= {seconds[1]}"
    wanted = frames_of(sample / "mixed.pcap.gz", "-Y", f"{own} && {when} && !({one['display_filter']})")
    assert limits.context_s == 10 and 0 < len(wanted) <= limits.context_packets
    assert frames_of(folder / "evidence" / one["incident_id"] / "context.pcap") == wanted


# ---------------------------------------------------------------- rotated segments, and while a capture runs


@pytest.fixture(scope="module")
def rotated(sample, tmp_path_factory):
    """The sample's mixed part as a live capture leaves it: two segments in captures/, and the rest being written."""
    folder = tmp_path_factory.mktemp("rotated")
    table = folder / "captured_data.csv"
    with frames.open_capture(sample / "mixed.pcap.gz") as source:
        whole = list(source)
    first, last = min(int(b.time.min()) for b in whole), max(int(b.time.max()) for b in whole)
    edges = [first, first + 40 * 10**9, first + 70 * 10**9, last + 1]
    for low, high in itertools.pairwise(edges):
        place = folder / "captures" / f"part-{low}" if high <= last else folder
        place.mkdir(parents=True, exist_ok=True)
        with frames.PcapWriter(place / "captured_data.pcap", 1, 65_535) as out:
            for block in whole:
                out.append(block.select((block.time >= low) & (block.time < high)))
        about = {"start": tables.iso(low), "end": tables.iso(high - 1)}
        tables.write_json(place / "captured_data.json", about)
    table.write_text(",".join(tables.PACKETS.names) + "\n")
    (folder / "captures" / "broken").mkdir()
    (folder / "captures" / "broken" / "captured_data.json").write_text("{")
    return table, edges


def over_edge(incidents, edges):
    """An incident with packets in more than one segment."""
    spans = {one["incident_id"]: evidence.cases.display_filter.span(one["display_filter"]) for one in incidents}
    crossing = [
        one
        for one in incidents
        for edge in edges[1:3]
        if spans[one["incident_id"]][0] < edge <= spans[one["incident_id"]][1]
    ]
    return crossing[0]


def test_segments_are_those_that_may_hold_the_time_and_the_capture_of_now(rotated):
    table, edges = rotated
    parts = [table.parent / "captures" / f"part-{edge}" / "captured_data.pcap" for edge in edges[:2]]
    now = table.with_suffix(".pcap")
    assert evidence.segments(table, edges[0], edges[3]) == [*parts, now]
    assert evidence.segments(table, edges[1] + 5, edges[1] + 6) == [parts[1], now]
    assert evidence.segments(table, edges[3], edges[3]) == [now]


def test_evidence_from_segments_is_that_of_the_whole_capture(done, rotated, limits, tmp_path):
    folder, incidents = done
    table, edges = rotated
    one = over_edge(incidents, edges)
    evidence.add(tmp_path, [one], evidence.segments(table, *edges[::3]), limits, 60)
    for name in ("packets.pcap", "context.pcap"):
        whole = (folder / "evidence" / one["incident_id"] / name).read_bytes()
        assert (tmp_path / one["incident_id"] / name).read_bytes() == whole
        assert len(whole) > 1000


def live(tmp_path, rotated, limits, **rules):
    (tmp_path / "rules.csv").write_text("source,destination,pattern,expires,reason\n" + "".join(rules.values()))
    found = suppressions.read(tmp_path / "rules.csv")
    return evidence.LiveEvidence(tmp_path / "evidence", rotated[0], limits, found)


def finished(sink):
    if sink._job:
        sink._job.join()
    return sorted(path.name for path in sink._folder.iterdir()) if sink._folder.exists() else []


def test_live_evidence_is_written_when_its_context_is_over_and_again_when_it_grew_tenfold(
    done, rotated, limits, tmp_path
):
    _, incidents = done
    one = over_edge(incidents, rotated[1])
    end = evidence.cases.display_filter.span(one["display_filter"])[1]
    sink = live(tmp_path, rotated, limits)
    small = one | {"packets": one["packets"] // 11}
    sink.incidents([small])
    sink.tick(end + 9 * 10**9)
    assert finished(sink) == []
    sink.tick(end + 10 * 10**9)
    assert finished(sink) == [one["incident_id"]]
    case = tmp_path / "evidence" / one["incident_id"] / "incident.json"
    sink.incidents([one | {"packets": small["packets"] * 2}])
    sink.tick(end + 11 * 10**9)
    finished(sink)
    assert json.loads(case.read_text()) == small
    sink.incidents([one])
    sink.tick(end + 12 * 10**9)
    finished(sink)
    assert json.loads(case.read_text()) == one


def test_what_is_left_is_written_at_the_end_but_for_suppressed_incidents(done, rotated, limits, tmp_path):
    _, incidents = done
    one, other = incidents[:2]
    rule = f"{other['source']},,{other['pattern']},,ours\n"
    sink = live(tmp_path, rotated, limits, rule=rule)
    sink.incidents([one, other])
    sink.close()
    assert finished(sink) == [one["incident_id"]]
    again = live(tmp_path, rotated, limits)
    again.resumed([one])
    again.close()
    assert again._job is None  # it is there


def test_evidence_of_packets_that_are_no_longer_kept_stays(done, rotated, limits, tmp_path):
    _, incidents = done
    one = over_edge(incidents, rotated[1])
    sink = live(tmp_path, rotated, limits)
    sink.incidents([one])
    sink.close()
    packets = tmp_path / "evidence" / one["incident_id"] / "packets.pcap"
    whole = packets.read_bytes()
    table = tmp_path / "captured_data.csv"
    for ending in (".pcap", ".json"):
        shutil.copy(rotated[0].with_suffix(ending), table.with_suffix(ending))
    later = evidence.LiveEvidence(tmp_path / "evidence", table, limits, suppressions.Suppressions())
    later.incidents([one | {"packets": 10**6}])
    later.close()
    assert packets.read_bytes() == whole


def test_only_the_latest_folders_are_kept_and_a_capture_that_cannot_be_read_is_said_once(
    done, rotated, limits, tmp_path, caplog
):
    _, incidents = done
    few = dataclasses.replace(limits, incidents=1)
    for one in incidents[:2]:
        evidence.add(tmp_path / "evidence", [one], evidence.segments(rotated[0], *rotated[1][::3]), few, 60)
    assert [path.name for path in (tmp_path / "evidence").iterdir()] == [incidents[1]["incident_id"]]
    table = tmp_path / "captured_data.csv"
    table.with_suffix(".pcap").write_bytes(b"no capture")
    sink = evidence.LiveEvidence(tmp_path / "evidence", table, few, suppressions.Suppressions())
    for one in incidents[:2]:
        sink.incidents([one])
        sink.tick(2**62)
        finished(sink)
    assert [record.message for record in caplog.records].count(caplog.records[0].message) == len(caplog.records) == 1


def test_a_segment_that_moved_while_it_was_read_is_read_again_a_few_times(done, rotated, limits, tmp_path):
    _, incidents = done
    one = over_edge(incidents, rotated[1])
    table = tmp_path / "captured_data.csv"
    table.with_suffix(".pcap").write_bytes(b"no capture")
    sink = evidence.LiveEvidence(tmp_path / "evidence", table, limits, suppressions.Suppressions())
    sink.incidents([one])
    now = 2**62
    sink.tick(now)
    assert finished(sink) == []
    shutil.copytree(rotated[0].parent, tmp_path, dirs_exist_ok=True)
    sink.tick(now + 1)
    assert finished(sink) == []
    sink.tick(now + 31 * 10**9)
    assert finished(sink) == [one["incident_id"]]


def test_of_a_large_live_capture_only_what_is_near_is_read(done, sample, limits, tmp_path, monkeypatch):
    folder, incidents = done
    with frames.open_capture(sample / "mixed.pcap.gz") as source:
        blocks = [block.select(slice(at, at + 2000)) for block in source for at in range(0, len(block), 2000)]
    pcap, latest, places = tmp_path / "captured_data.pcap", 0, []
    with frames.PcapWriter(pcap, 1, 65_535) as out:
        for block in blocks:
            places.append([tables.iso(latest), out.size])
            out.append(block)
            latest = max(latest, int(block.time.max()))
    tables.write_json(pcap.with_suffix(".json"), {"pcap_places": places[1:]})
    one = max(incidents, key=lambda one: one["start"])
    looked = []
    read = evidence.cases.frames.open_capture
    monkeypatch.setattr(evidence.cases.frames, "open_capture", lambda path: read(path, block_packets=2000))
    decode = evidence.cases.packets.Decoder.decode
    monkeypatch.setattr(
        evidence.cases.packets.Decoder, "decode", lambda self, block: looked.append(len(block)) or decode(self, block)
    )
    skipped = []
    skip = frames.FileSource.skip_to
    monkeypatch.setattr(frames.FileSource, "skip_to", lambda self, byte: skipped.append(byte) or skip(self, byte))
    evidence.add(tmp_path / "evidence", [one], [pcap], limits, 60)
    for name in ("packets.pcap", "context.pcap"):
        whole = (folder / "evidence" / one["incident_id"] / name).read_bytes()
        assert (tmp_path / "evidence" / one["incident_id"] / name).read_bytes() == whole
    assert skipped[0] > pcap.stat().st_size / 2
    assert 0 < sum(looked) < sum(map(len, blocks)) / 4


def test_reading_that_takes_too_long_is_ended_and_the_folder_says_so(done, rotated, limits, tmp_path):
    _, incidents = done
    one = over_edge(incidents, rotated[1])
    evidence.add(tmp_path, [one], evidence.segments(rotated[0], *rotated[1][::3]), limits, -1)
    assert "what came after " in (tmp_path / one["incident_id"] / "README.md").read_text("utf-8")
