"""Suppressions hide what they say, no more and no longer, and only from people."""

from __future__ import annotations

import csv
import json

import pandas as pd
import pytest
from packets import START

from netnormal import suppressions
from netnormal.tables import InputError

HEAD = "source,destination,pattern,expires,reason\n"
SCAN = {
    "source": "10.0.0.5",
    "destinations": ["10.0.0.7", "10.0.0.8"],
    "pattern": "port_scan",
    "start": "2026-11-21T12:00:00.000000000Z",
}


def rules(tmp_path, *lines: str) -> suppressions.Suppressions:
    path = tmp_path / "suppressions.csv"
    path.write_text(HEAD + "\n".join(lines) + "\n", "utf-8")
    return suppressions.read(path)


@pytest.mark.parametrize(
    ("line", "hidden"),
    [
        ("10.0.0.5,,,,why", True),
        ("10.0.0.6,,,,why", False),
        ("10.0.0.0/24,,,,why", True),
        ("10.0.0.8/29,,,,why", False),
        ("10.0.0.?,,port_*,,why", True),
        ("10.0.0.5,,*flood,,why", False),
        (",10.0.0.0/24,port_scan,,why", True),
        (",10.0.0.7,port_scan,,why", False),  # it went to another host too
        ("fd00::/8,,,,why", False),
        ("10.0.0.5,,,2026-11-21,why", True),  # the day counts to its end
        ("10.0.0.5,,,2026-11-20,why", False),
        ("10.0.0.5,,,2026-11-21T12:00:00Z,why", False),
        ("10.0.0.5,,,2026-11-21T14:00:00+01:00,why", True),
        ('10.0.0.5,,,,"a, b"', True),
    ],
)
def test_a_rule_hides_the_incidents_it_describes_until_it_expires(tmp_path, line, hidden):
    reason = rules(tmp_path, line).reason(SCAN)
    assert reason == (next(csv.reader([line]))[4] if hidden else None)


def test_an_incident_with_more_destinations_than_it_names_is_not_hidden_by_naming_those():
    names = {"destination": suppressions._Name("10.0.0.0/24"), "pattern": suppressions._Name("")}
    rule = suppressions.Rule(2, suppressions._Name(""), **names, expires=None, reason="why")
    some, cut = [[f"10.0.0.{i}" for i in range(count)] for count in (19, 20)]
    assert rule.fits("10.1.1.1", some, "port_sweep")
    assert not rule.fits("10.1.1.1", cut, "port_sweep")


def test_the_table_is_split_and_what_is_hidden_or_expired_is_said(tmp_path):
    row = SCAN | {"destinations": "10.0.0.7 10.0.0.8", "start": 1_795_262_400 * 10**9}
    table = pd.DataFrame([row, row | {"source": "10.9.9.9"}, row])
    known = rules(tmp_path, "# a comment", "10.0.0.5,,,,our scanner", "10.9.9.9,,,2026-11-01,load test")
    shown, reasons = known.split(table)
    assert shown["source"].tolist() == ["10.9.9.9"]
    assert known.told(reasons, "2026-11-21T12:00:00Z") == [
        "2 incidents suppressed: our scanner (2)",
        "line 4 of the suppressions (load test) expired on 2026-11-01",
    ]
    assert known.told([], "2026-10-01T12:00:00Z") == []
    assert suppressions.Suppressions().split(table)[0]["source"].tolist() == table["source"].tolist()


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("source,pattern\n", ":1: does not name the columns"),
        (HEAD + "# fine\n10.0.0.5,,,why\n", ":3: has 4 cells, not 5"),
        (HEAD + "10.0.0.5/24,,,,why\n", ":2: `source` is no network"),
        (HEAD + ",,,,why\n", ":2: would hide every incident"),
        (HEAD + "*,*,*,,why\n", ":2: would hide every incident"),
        (HEAD + "10.0.0.5,,,,\n", ":2: gives no reason"),
        (HEAD + "10.0.0.5,,,tomorrow,why\n", ":2: `expires` is no date"),
        (HEAD + "10.0.0.5,,,9999-12-31,why\n", ":2: `expires` is"),
        (HEAD + '10.0.0.5,,,,"why\n', ":2: is no line of a CSV file"),
        (HEAD + "10.0.0.5,,,,\x1b[31mwhy\n", ":2: has characters that cannot be printed"),
    ],
)
def test_a_line_that_is_no_rule_is_refused_with_its_number(tmp_path, text, says):
    path = tmp_path / "rules.csv"
    path.write_text(text, "utf-8")
    with pytest.raises(InputError) as error:
        suppressions.read(path)
    assert f"rules.csv{says}" in str(error.value)


def test_no_file_hides_nothing_and_a_named_one_has_to_be_there(tmp_path):
    assert suppressions.read(tmp_path / "none.csv", optional=True).reason(SCAN) is None
    with pytest.raises(InputError, match="does not exist"):
        suppressions.read(tmp_path / "none.csv")
    (tmp_path / "bytes.csv").write_bytes(b"\xff\xfe")
    with pytest.raises(InputError, match="is not UTF-8"):
        suppressions.read(tmp_path / "bytes.csv")


def test_the_file_that_ships_is_read_and_hides_nothing(sample):
    assert suppressions.read(sample.parent.parent / "suppressions.csv").rules == ()


@pytest.mark.xdist_group("chain")
def test_terminal_and_report_leave_out_what_the_files_keep(chain, run_in):
    (chain / "suppressions.csv").write_text(HEAD + "192.168.37.80,,icmp_flood,,load test\n")
    done = run_in(chain, "detect.py", "--input", "new.csv", "--output", "hiding")
    assert "pings" not in done.stdout
    assert "1 incident suppressed: load test." in done.stdout
    assert json.loads((chain / "hiding" / "summary.json").read_text())["detection"]["suppressed"] == 1
    assert "icmp_flood" in (chain / "hiding" / "incidents.csv").read_text("utf-8")
    drawn = ["--capture", "new.csv", "--results", "hiding", "--output", "hiding/figures"]
    run_in(chain, "visualize.py", *drawn, "-q")
    page = (chain / "hiding" / "report.html").read_text("utf-8")
    assert "1 incident suppressed: load test." in page
    assert "pings" not in page
    (chain / "suppressions.csv").unlink()
    run_in(chain, "visualize.py", *drawn, "-q")  # taken back, the old incident is shown again
    assert "pings" in (chain / "hiding" / "report.html").read_text("utf-8")


def test_rules_hide_notices_too(tmp_path):
    rows = [
        ("first_contact", "10.0.0.5", "10.0.0.9 10.0.0.10"),
        ("first_contact", "10.0.0.6", "10.0.0.9 198.51.100.1"),
        ("new_service", "10.0.0.5", "TCP/8080"),
        ("new_device", "10.0.0.7", "10.0.0.7"),
    ]
    table = pd.DataFrame(rows, columns=["pattern", "source", "what"]).assign(start=START)

    def left(some):
        shown, hidden = some.notices(table)
        assert len(shown) + hidden == len(table)
        return list(zip(shown["source"], shown["pattern"], strict=True))

    assert left(rules(tmp_path, "10.0.0.5,,,,ours")) == [("10.0.0.6", "first_contact"), ("10.0.0.7", "new_device")]
    kept = left(rules(tmp_path, ",10.0.0.0/24,,,inside"))
    assert kept == [("10.0.0.6", "first_contact"), ("10.0.0.5", "new_service"), ("10.0.0.7", "new_device")]
    late = rules(tmp_path, ",,new_*,1990-01-01,long ago")
    assert len(left(late)) == 4 and late.notices(table)[1] == 0
    assert late.told([], None, 2)[0] == "2 notices suppressed"


# ---------------------------------------------------------------- rules that are added


def test_an_added_rule_hides_and_what_stood_there_stays(tmp_path):
    path = tmp_path / "suppressions.csv"
    before = (
        "# ours\nreason,pattern,expires,destination,source\nwhy,udp_flood,,,10.9.9.9"  # other order, no last newline
    )
    path.write_text(before, "utf-8")
    assert suppressions.read(path).reason(SCAN) is None
    suppressions.add(
        path, source="10.0.0.5", pattern="port_scan", reason='our "scanner", monthly', expires="2026-11-30"
    )
    assert path.read_text("utf-8").startswith(before + "\n")
    assert suppressions.read(path).reason(SCAN) == 'our "scanner", monthly'
    assert suppressions.read(path).reason(SCAN | {"pattern": "udp_scan"}) is None
    assert suppressions.read(path).reason(SCAN | {"start": "2026-12-01T00:00:00Z"}) is None


def test_a_rule_added_where_there_is_no_file_makes_one(tmp_path):
    suppressions.add(tmp_path / "new" / "suppressions.csv", source="10.0.0.5", reason="why")
    assert (tmp_path / "new" / "suppressions.csv").read_text() == HEAD + "10.0.0.5,,,,why\n"


@pytest.mark.parametrize(
    "rule",
    [
        {"reason": "why"},
        {"source": "10.0.0.5", "reason": " "},
        {"source": "10.0.0.5/24", "reason": "why"},
        {"source": "10.0.0.5", "reason": "why", "expires": "soon"},
        {"source": "10.0.0.5", "reason": "two\nlines"},
        {"source": "10.0.0.5", "reason": "=cmd()"},
        {"source": "# 10.0.0.5", "reason": "why"},
    ],
)
def test_what_is_no_rule_is_not_added(tmp_path, rule):
    path = tmp_path / "suppressions.csv"
    path.write_text(HEAD)
    with pytest.raises(InputError):
        suppressions.add(path, **rule)
    assert path.read_text() == HEAD


def test_nothing_is_added_to_a_file_that_is_broken(tmp_path):
    path = tmp_path / "suppressions.csv"
    path.write_text("something else\n")
    with pytest.raises(InputError, match=":1"):
        suppressions.add(path, source="10.0.0.5", reason="why")
    assert path.read_text() == "something else\n"
