"""Evidence holds what an incident's filter selects, byte for byte, as tshark reads it."""

from __future__ import annotations

import dataclasses
import gzip
import json
import shutil
import subprocess

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netnormal import evidence, settings, tables

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


def test_every_incident_has_a_folder_with_all_four(done):
    folder, incidents = done
    assert incidents
    assert {path.name for path in (folder / "evidence").iterdir()} == {one["incident_id"] for one in incidents}
    for one in incidents:
        case = folder / "evidence" / one["incident_id"]
        assert sorted(path.name for path in case.iterdir()) == [
            "README.md",
            "incident.json",
            "packets.pcap",
            "timeline.png",
        ]
        assert json.loads((case / "incident.json").read_text("utf-8")) == one
        assert (case / "timeline.png").read_bytes().startswith(b"\x89PNG")
        story = (case / "README.md").read_text("utf-8")
        assert f"\n```\n{one['display_filter']}\n```\n" in story
        assert "All " in story


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
    assert "The first 7 of " in (case / "README.md").read_text("utf-8")
    with evidence.frames.open_capture(case / "packets.pcap") as source:
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
    shown = evidence.plain(text)
    assert shown.isprintable()
    assert evidence.plain("<b>|`[x](y)\x1b[2J") == r"\<b\>\|\`\[x\](y)?\[2J"
