"""eve.json: what Suricata's readers expect, line by line."""

from __future__ import annotations

import json
import re
import shutil
import subprocess

import pytest

from netnormal import suppressions, tables
from netnormal.patterns import KINDS
from netnormal.sinks.eve import SIGNATURES, Eve, event
from netnormal.tables import SEVERITIES, UNUSUAL

pytestmark = pytest.mark.xdist_group("chain")  # one process, so that the chain is made once

ID = "1:wnQlKwLMY47aUIJwDiiWfkwIlwBs="
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}\+0000")
TYPES = {"timestamp": str, "event_type": str, "flow_id": int, "alert": dict, "flow": dict, "netnormal": dict}
ALERT = {"action": str, "gid": int, "signature_id": int, "rev": int, "signature": str, "category": str}
ALERT |= {"severity": int, "metadata": dict}
OPTIONAL = {"src_ip": str, "dest_ip": str, "proto": str, "dest_port": int, "icmp_type": int, "community_id": str}


def document(**changes):
    made = {"incident_id": "I0001", "start": "2026-11-21T04:08:07.178660123Z", "end": "2026-11-21T04:09:00.000000000Z"}
    made |= {"pattern": "icmp_flood", "title": 'a "title"\x1b[2J\n', "technique": "T1498.001", "severity": "high"}
    made |= {"score": 0.9, "source": "10.0.0.1", "destinations": ["10.0.0.2"], "services": ["ICMP/8"]}
    made |= {"packets": 12, "bytes": 1200, "reasons": "many", "display_filter": "icmp", "normal": "Normally none."}
    return made | {"evidence": {"packets": 12}, "explanation": [], "community_ids": [ID, "1:other"]} | changes


def check(line):
    assert {name: type(value) for name, value in line.items() if name not in OPTIONAL} == TYPES
    assert all(type(line[name]) is kind for name, kind in OPTIONAL.items() if name in line)
    assert {name: type(value) for name, value in line["alert"].items()} == ALERT
    assert all(TIME.fullmatch(text) for text in (line["timestamp"], *line["flow"].values()))
    assert line["event_type"] == "alert"
    assert 0 <= line["flow_id"] < 2**53
    assert line["alert"]["severity"] in (1, 2, 3)
    for values in line["alert"]["metadata"].values():
        assert values
        assert all(type(value) is str for value in values)


def test_every_pattern_has_a_signature_of_its_own_and_every_severity_a_number():
    alerting = {name for name, (_, severity, _) in KINDS.items() if severity != "info"}  # notices are no incidents
    assert SIGNATURES.keys() == {UNUSUAL, *alerting}
    for column in (0, 1):
        assert len({signature[column] for signature in SIGNATURES.values()}) == len(SIGNATURES)
    numbers = [event(document(severity=severity))["alert"]["severity"] for severity in SEVERITIES]
    assert numbers == [1, 1, 2, 3]


def test_an_alert_says_who_and_what():
    line = event(document())
    check(line)
    assert line["timestamp"] == "2026-11-21T04:08:07.178660+0000"
    assert (line["src_ip"], line["dest_ip"], line["proto"], line["icmp_type"]) == ("10.0.0.1", "10.0.0.2", "ICMP", 8)
    assert line["community_id"] == ID
    assert line["netnormal"]["community_ids"] == [ID, "1:other"]
    assert line["alert"]["metadata"]["mitre_technique_id"] == ["T1498.001"]
    one, many = event(document(services=["TCP/22"])), event(document(services=["TCP/22", "TCP/23"]))
    assert (one["dest_port"], one["proto"], many["proto"]) == (22, "TCP", "TCP")
    assert "dest_port" not in many


def test_what_is_no_address_is_left_out():
    line = event(document(source="many", destinations=["02:00:00:00:00:01"], services=["ARP"], community_ids=[]))
    check(line)
    assert not OPTIONAL.keys() & line.keys()
    line = event(document(pattern=UNUSUAL, technique=None, severity="low"))
    assert line["alert"]["metadata"] == {"confidence": ["Low"], "signature_severity": ["Low"]}


def test_the_file_has_each_incident_once_as_last_told_and_no_suppressed_one(tmp_path):
    (tmp_path / "rules.csv").write_text("source,destination,pattern,expires,reason\n10.0.0.9,,,,ours\n")
    rules = suppressions.read(tmp_path / "rules.csv")
    path = tmp_path / "eve.json"
    path.write_text("earlier")
    Eve(path, rules).close()
    assert path.read_text() == "earlier"  # detection did not get as far as incidents
    sink = Eve(path, rules)
    sink.incidents([document(), document(incident_id="I0002", source="10.0.0.9")])
    sink.tick(0)
    sink.incidents([document(packets=13), document(incident_id="I0003")])
    sink.close()
    lines = [json.loads(line) for line in path.read_text("ascii").splitlines()]
    assert [(line["netnormal"]["incident_id"], line["netnormal"]["packets"]) for line in lines] == [
        ("I0001", 13),
        ("I0003", 12),
    ]
    assert "\x1b" not in path.read_text("ascii")
    Eve(path, rules).incidents([])
    sink = Eve(path, rules)
    sink.incidents([])
    sink.close()
    assert path.read_text() == ""


def test_a_file_that_cannot_be_written_is_said_once_and_stops_only_at_the_end(tmp_path, caplog):
    (tmp_path / "file").write_text("")
    sink = Eve(tmp_path / "file" / "eve.json", suppressions.Suppressions())
    sink.incidents([document()])
    sink.tick(0)
    sink.tick(1)
    assert len(caplog.records) == 1
    with pytest.raises(tables.InputError, match="cannot be written"):
        sink.close()


def test_detect_writes_it_and_jq_reads_it(chain, tmp_path, run_in):
    run_in(chain, "detect.py", "--input", "new.csv", "--output", tmp_path, "-q")
    lines = [json.loads(line) for line in (tmp_path / "eve.json").read_text("ascii").splitlines()]
    incidents = json.loads((tmp_path / "incidents.json").read_text("utf-8"))
    assert [line["netnormal"]["incident_id"] for line in lines] == [one["incident_id"] for one in incidents]
    assert lines
    for line in lines:
        check(line)
    if not shutil.which("jq"):
        pytest.skip("needs jq")
    wanted = 'select(.event_type == "alert" and .alert.signature_id == 1000001) | .src_ip'
    read = subprocess.run(["jq", "-r", wanted, tmp_path / "eve.json"], capture_output=True, text=True, check=True)
    scans = [one["source"] for one in incidents if one["pattern"] == "port_scan"]
    assert read.stdout.split() == scans
    assert scans
