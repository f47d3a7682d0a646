"""Indicators of incidents, as block lists (CSV) and threat intelligence platforms (STIX 2.1) read them."""

from __future__ import annotations

import csv
import io
import json
import re
import uuid

import pytest
from test_eve import document

from netnormal import patterns, suppressions
from netnormal.sinks.indicators import COLUMNS, Indicator, Indicators, as_csv, as_stix, of
from netnormal.tables import SEVERITIES, UNUSUAL

STAMP = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")
#: What section 3.2, 4.7, 4.14, 5.1 and 6 of STIX 2.1 require of the objects that we write.
REQUIRED = {
    "identity": {"name"},
    "indicator": {"pattern", "pattern_type", "valid_from"},
    "observed-data": {"first_observed", "last_observed", "number_observed", "object_refs"},
    "relationship": {"relationship_type", "source_ref", "target_ref"},
}
SDO = {"type", "spec_version", "id", "created", "modified"}
SCO = {"type", "spec_version", "id", "value"}


def check(text: str) -> dict[str, dict]:
    """That it is a valid bundle; its objects by id."""
    bundle = json.loads(text)
    assert bundle["type"] == "bundle"
    objects = {one["id"]: one for one in bundle.get("objects", [])}
    assert len(objects) == len(bundle.get("objects", []))
    for one in [bundle, *objects.values()]:
        kind, _, number = one["id"].partition("--")
        assert kind == one["type"]
        assert str(uuid.UUID(number)) == number and uuid.UUID(number).version == 5
    for one in objects.values():
        assert one["spec_version"] == "2.1"
        assert (SDO | REQUIRED[one["type"]] if one["type"] in REQUIRED else SCO) <= one.keys()
        refs = [value for name, value in one.items() if name.endswith("_ref")] + one.get("object_refs", [])
        assert all(ref in objects for ref in refs)
        for name in ("created", "modified", "valid_from", "first_observed", "last_observed"):
            assert STAMP.fullmatch(one.get(name, "2026-01-01T00:00:00.000Z"))
        assert one.get("created", "") <= one.get("modified", "")
        assert one.get("first_observed", "") <= one.get("last_observed", "")
        assert 1 <= one.get("number_observed", 1) <= 999_999_999
        assert 0 <= one.get("confidence", 0) <= 100
        if one["type"] == "indicator":
            assert re.fullmatch(r"\[[a-z0-9-]+:value (=|ISSUBSET) '[^'\\]+'\]", one["pattern"])
    return objects


@pytest.mark.parametrize(
    ("changes", "wanted"),
    [
        ({}, [("10.0.0.1", "ipv4-addr", "source")]),
        ({"source": "fd00::1"}, [("fd00::1", "ipv6-addr", "source")]),
        ({"source": "many"}, []),
        (
            {"pattern": "arp_spoofing", "evidence": {"hardware_address": "54:ee:75:2a:cd:d6"}},
            [("10.0.0.1", "ipv4-addr", "source"), ("54:ee:75:2a:cd:d6", "mac-addr", "source")],
        ),
        ({"pattern": "beacon"}, [("10.0.0.2", "ipv4-addr", "destination")]),
        (
            {"pattern": "dns_tunnel", "evidence": {"domain": "bad.test"}},
            [("10.0.0.1", "ipv4-addr", "source"), ("bad.test", "domain-name", "domain")],
        ),
        ({"pattern": "dns_tunnel", "evidence": {"domain": "a' OR '.test"}}, [("10.0.0.1", "ipv4-addr", "source")]),
        ({"pattern": "threat_list", "evidence": {"listed": "192.0.2.0/24"}}, [("192.0.2.0/24", "ipv4-addr", "listed")]),
    ],
)
def test_an_incident_is_known_by_who_did_it_or_whom_nobody_should_meet(changes, wanted):
    assert of(document(**changes)) == [Indicator(*one) for one in wanted]


def test_every_pattern_gives_a_valid_bundle():
    kinds = [*patterns.KINDS, UNUSUAL]
    told = [document(pattern=kind, incident_id=f"I{i:08x}", evidence={"listed": "bad.test", "domain": "x.test"})
            for i, kind in enumerate(kinds)]  # fmt: skip
    objects = check(as_stix(told))
    made = [one for one in objects.values() if one["type"] == "indicator"]
    assert {one["labels"][0] for one in made} == set(kinds)
    refs = {ref["external_id"] for one in made for ref in one["external_references"]}
    assert refs == {"T1498.001"}


def test_severities_and_the_unnamed_have_their_confidence():
    told = [document(severity=severity, incident_id=f"I{severity}") for severity in SEVERITIES]
    told.append(document(pattern=UNUSUAL, technique=None, severity="medium"))
    made = [one for one in check(as_stix(told)).values() if one["type"] == "indicator"]
    assert [one["confidence"] for one in made] == [90, 85, 70, 30, 30]
    assert "external_references" not in made[-1] and made[-1]["indicator_types"] == ["anomalous-activity"]


def test_the_same_incident_has_the_same_objects_and_a_grown_one_later_versions_of_them():
    assert as_stix([document()]) == as_stix([document()])
    small, grown = check(as_stix([document()])), check(as_stix([document(end="2026-11-21T05:00:00.000000000Z")]))
    assert small.keys() == grown.keys()
    later = [name for name in small if small[name].get("modified", "") < grown[name].get("modified", "")]
    assert {name.partition("--")[0] for name in later} == {"indicator", "observed-data", "relationship"}
    assert all(small[name].get("created") == grown[name].get("created") for name in small)


def test_an_address_has_the_id_that_every_producer_gives_it():
    """The example of STIX 2.1, section 2.9."""
    objects = check(as_stix([document(source="198.51.100.3")]))
    assert "ipv4-addr--28bb3599-77cd-5a82-a950-b5bc3caf07c4" in objects


def test_without_incidents_there_is_an_empty_bundle_and_a_header():
    assert check(as_stix([])) == {} and "objects" not in json.loads(as_stix([]))
    assert as_csv([]) == ",".join(COLUMNS) + "\n"


def test_the_csv_has_a_line_for_each_and_no_formula():
    told = [document(title="=HYPERLINK(1),\x1b[2J"), document(source="many"), document(pattern="beacon")]
    rows = list(csv.DictReader(io.StringIO(as_csv(told))))
    assert [row["indicator"] for row in rows] == ["10.0.0.1", "10.0.0.2"]
    assert rows[0]["title"] == r"'=HYPERLINK(1),\x1b[2J"
    assert rows[0]["first_seen"] == document()["start"] and rows[0]["technique"] == "T1498.001"


def test_the_file_leaves_out_suppressed_incidents_and_grows_with_what_is_told(tmp_path):
    (tmp_path / "rules.csv").write_text("source,destination,pattern,expires,reason\n10.0.0.9,,,,ours\n")
    path = tmp_path / "found.json"
    sink = Indicators(path, suppressions.read(tmp_path / "rules.csv"))
    sink.incidents([document(), document(incident_id="I0002", source="10.0.0.9")])
    sink.tick(0)
    assert len(check(path.read_text())) == 5
    sink.incidents([document(incident_id="I0003", source="10.0.0.3")])
    sink.close()
    values = {one.get("value") for one in check(path.read_text()).values()} - {None}
    assert values == {"10.0.0.1", "10.0.0.3"}


def test_another_ending_is_refused_before_anything_is_judged(run_script):
    done = run_script("detect.py", "--indicators", "found.txt")
    assert done.returncode == 1
    assert done.stderr == (
        "detect.py: found.txt: is neither .csv nor .json: say by the file's ending which of both it is\n"
    )
