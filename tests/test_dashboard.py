"""The dashboard without a browser: what it reads is bounded and right, what it says and what it gives out."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from conftest import ROOT
from dashboards import document

from netnormal import answers, frames, inputs, suppressions, tables
from netnormal.dashboard import changes, export, filters, questions, results, story
from netnormal.dashboard.filters import Filter
from netnormal.dashboard.pages import incidents, verdict
from netnormal.dashboard.store import COLUMNS, Store, frame_of
from netnormal.plain import cell

pytestmark = pytest.mark.xdist_group("dashboard")  # one process, so that the sample is judged once


@pytest.fixture(scope="module")
def store(judged: Path, tmp_path_factory: pytest.TempPathFactory) -> Store:
    made = Store(judged / "dataset" / "captured_data.csv", tmp_path_factory.mktemp("cache"))
    made.update()
    return made


def alike(one: questions.Tally, other: questions.Tally) -> bool:
    return all(
        a.equals(b) if isinstance(a, pd.DataFrame) else a == b
        for a, b in zip(vars(one).values(), vars(other).values(), strict=True)
    )


def stored(store: Store) -> Any:
    return tables.concat([frame_of(store.table(part, "packets", COLUMNS)) for part in store.parts])


# ---------------------------------------------------------------- what is read


def test_a_growing_table_read_piece_by_piece_is_the_same_as_read_at_once(store: Store, tmp_path: Path) -> None:
    lines = store.capture.read_bytes().splitlines(keepends=True)
    whole = b"".join(lines)
    growing = tmp_path / "growing.csv"
    follower = Store(growing, tmp_path / "cache")
    with growing.open("ab", buffering=0) as file:
        done = 0
        for cut in (len(lines[0]), len(lines[0]) + 9, 100_000, 3_000_001, len(whole)):  # most cuts are inside a line
            file.write(whole[done:cut])
            done = cut
            follower.update()
            assert follower.packets == whole[:cut].count(b"\n") - 1
    assert not follower.update()
    assert stored(follower).astype(str).equals(stored(store).astype(str))
    assert alike(questions.tally(follower, Filter()), questions.tally(store, Filter()))


def test_a_replaced_table_is_read_anew(store: Store, tmp_path: Path) -> None:
    lines = store.capture.read_bytes().splitlines(keepends=True)
    table = tmp_path / "table.csv"
    table.write_bytes(b"".join(lines[:5000]))
    follower = Store(table, tmp_path / "cache")
    follower.update()
    table.write_bytes(b"".join([lines[0], *lines[9000:9100]]))
    follower.update()
    assert follower.packets == 100 and follower.parts[0].first == 9000


def test_the_first_packets_are_there_to_see_before_all_are_read(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []
    follower = Store(store.capture, tmp_path)
    publish = follower._publish
    monkeypatch.setattr(follower, "_publish", lambda state: (publish(state), seen.append(follower.packets)))
    follower.update()
    assert 0 < seen[0] < store.packets / 2 and seen[-1] == store.packets
    assert questions.tally(follower, Filter()).packets == store.packets


def test_sums_agree_with_the_packets(store: Store) -> None:
    whole = tables.read(store.capture, tables.PACKETS)
    sums = questions.tally(store, Filter())
    assert (sums.packets, sums.bytes) == (len(whole), whole["length"].sum())
    by_protocol = questions.protocols(store).set_index("protocol")["packets"].to_dict()
    assert by_protocol == whole["protocol"].astype(str).value_counts().to_dict()
    udp = Filter(protocols=("UDP",), host="192.168.37.0/24")
    shown = questions.packets(store, udp, 10**6)
    assert len(shown) == questions.tally(store, udp).packets > 100
    assert set(shown["protocol"]) == {"UDP"}


@pytest.mark.parametrize(
    ("typed", "fits"),
    [("tcp/443", True), ("443", True), ("TCP", True), ("80, 443", True), ("44", False), ("udp/443", False)],
)
def test_a_service_is_found_as_people_type_it(typed: str, fits: bool) -> None:
    assert filters.of_service("TCP/443", typed) is fits


def test_a_file_that_is_no_table_is_refused_in_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "odd.csv").write_text("a,b\n1,2\n")
    with pytest.raises(tables.InputError, match="no column packet"):
        Store(tmp_path / "odd.csv", tmp_path / "cache").update()


def test_what_an_incident_tells_of_its_packets_is_what_was_judged(store: Store, judged: Path) -> None:
    known = results.verdicts(judged / "results")
    found = results.incidents(judged / "results")
    assert known and found
    for one in found:
        its, told = known.numbers(one.incident_id), export.numbers_of(store, incidents.told_of(one))
        both = len(np.intersect1d(its, told))
        assert both > 0.9 * len(its) and both > 0.9 * len(told), one.title


def test_an_answer_is_kept_until_the_packets_are_others(store: Store, tmp_path: Path) -> None:
    assert questions.tally(store, Filter()) is questions.tally(store, Filter())
    lines = store.capture.read_bytes().splitlines(keepends=True)
    table = tmp_path / "table.csv"
    table.write_bytes(b"".join(lines[:100]))
    growing = Store(table, tmp_path / "cache")
    growing.update()
    assert questions.tally(growing, Filter()).packets == 99
    table.write_bytes(b"".join(lines[:200]))
    growing.update()
    assert questions.tally(growing, Filter()).packets == 199


# ---------------------------------------------------------------- what goes out


def test_exported_frames_are_those_of_the_capture(store: Store, sample: Path, tmp_path: Path) -> None:
    source, _ = export.origin(store.capture)
    assert source == sample / "mixed.pcap.gz"
    chosen = Filter(service="UDP/53")
    made = tmp_path / "dns.pcap"
    made.write_bytes(export.as_pcap(source, export.numbers_of(store, chosen)))
    exported = tables.concat(list(inputs.packet_blocks(made)))
    shown = questions.packets(store, chosen, 10**6)
    assert len(exported) == len(shown) > 100
    assert np.array_equal(exported["time"], shown["time"]) and np.array_equal(exported["length"], shown["length"])
    assert frames.is_capture(made)


def test_a_name_from_the_network_is_no_formula_in_an_exported_table() -> None:
    assert cell('=HYPERLINK("x")') == '\'=HYPERLINK("x")'
    assert cell("www.example.org") == "www.example.org"


# ---------------------------------------------------------------- what is said


def test_an_incident_that_is_none_is_refused(tmp_path: Path) -> None:
    for bad, said in (
        ({"incident_id": "../x"}, "no incident"),
        ({"start": "yesterday"}, "no incident"),
        ({"packets": "many"}, "incident 1: `packets` is no number"),
    ):
        (tmp_path / "incidents.json").write_text(json.dumps([document(**bad)]))
        with pytest.raises(tables.InputError, match=said):
            results.incidents(tmp_path)


def test_each_reason_is_said_as_in_the_files_and_what_is_no_number_is_no_reason() -> None:
    known = {"feature": "source_destinations_count", "words": "hosts", "value": 386.0, "usual_low": 0, "unit": ""}
    novel = {"feature": "novelty_service_ratio", "words": "never seen", "value": None, "usual_low": None}
    one = results.incident(
        document(explanation=[known | {"usual_high": 3.03}, novel | {"usual_high": None, "unit": ""}])
    )
    assert [(reason.words, reason.said) for reason in one.explanation] == [
        ("hosts", "386 (usually up to 3)"),
        ("never seen", ""),
    ]
    assert results.incident(document(evidence={"half_open": 7})).evidence == "7 connections half open"
    assert results.incident(document(evidence={"half_open": "<b>"})).evidence == "half_open <b>"


def test_who_is_behind_it_is_said_in_one_sentence() -> None:
    two = [results.incident(document()), results.incident(document(incident_id="I2", severity="critical"))]
    assert answers.headline(one.severity for one in two) == "2 incidents: 1 critical, 1 high"
    assert answers.who(two) == "10.0.0.1 (2) stands behind all of it. Most affected: 10.0.0.2."
    assert story.matching(two, ["critical"], "FLOOD 10.0.0.2") == [two[1]]
    assert story.matching(two, [], "source:10.0.0.1") == two and story.matching(two, [], "source:10.0.0.2") == []


def test_control_and_direction_characters_are_taken_out() -> None:
    assert results.plain("a\x1b[31m\u202eb\nc") == r"a\x1b[31m\u202eb\x0ac"


def test_what_changed_against_the_baseline_is_what_the_model_never_saw(judged: Path, store: Store) -> None:
    before = changes.baseline(judged / "models" / "isolation_forest.pkl")
    assert before is not None
    pairs = questions.pairs(store, Filter())
    seen = changes.changes(before, pairs, questions.answered(store))
    assert "172.21.243.70" in seen.hosts, "where the sample's uploads and tunnels go"
    assert "192.168.37.80" not in seen.hosts and set(seen.hosts).isdisjoint(before.hosts)
    assert seen.sought > 900, "the sample's sweeps look for hosts that are not there"
    same = changes.changes(before, pd.DataFrame(before.pairs, columns=["source", "destination"]), before.known.served)
    assert (same.hosts, len(same.talks), same.servers) == ([], 0, {})


def test_what_decided_is_counted_from_the_reasons(judged: Path) -> None:
    decided = results.deciding(judged / "results")
    table = tables.read(judged / "results" / "anomalies.csv", tables.ANOMALIES)
    assert decided and decided.rows == len(table)
    for name in ("hosts that the source contacted", "packets sent", "connections to the destination"):
        assert decided.features[name] == table["reasons"].str.contains(rf"(?:^|; ){name} \d").sum() > 0
    assert all(not any(c.isdigit() for c in name) for name in decided.features)


def test_what_a_reader_can_hide_is_what_the_rule_says_and_nothing_more(tmp_path: Path) -> None:
    one = results.incident(document(source="10.0.0.[1*]"))
    for number, (_, rule) in enumerate(verdict.likes(one)):
        suppressions.add(tmp_path / f"{number}.csv", **rule, reason="x")
        rules = suppressions.read(tmp_path / f"{number}.csv")
        assert rules.reason(one.document) == "x"
        assert rules.reason(document(source="10.0.0.1", pattern="udp_flood")) is None


def test_only_this_computer_can_open_it_and_nothing_is_reported() -> None:
    import tomllib

    chosen = tomllib.load(io.BytesIO((ROOT / ".streamlit" / "config.toml").read_bytes()))
    assert chosen["server"]["address"] == "127.0.0.1" and chosen["browser"]["gatherUsageStats"] is False
