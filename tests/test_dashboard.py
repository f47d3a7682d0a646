"""The dashboard: what it reads is bounded and right, and what came from the network stays text in a real browser."""

from __future__ import annotations

import dataclasses
import importlib.util
import io
import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import browser
import numpy as np
import pandas as pd
import pytest
from conftest import ROOT
from packets import table, tcp, udp

from netnormal import answers, feedback, frames, inputs, suppressions, tables
from netnormal.dashboard import changes, export, filters, questions, results, story
from netnormal.dashboard.filters import Filter
from netnormal.dashboard.pages import verdict
from netnormal.dashboard.store import COLUMNS, Store, frame_of
from netnormal.plain import cell

_loader = importlib.util.spec_from_file_location("make_pictures", ROOT / "docs" / "make_pictures.py")
assert _loader is not None and _loader.loader is not None
pictures = importlib.util.module_from_spec(_loader)
sys.modules["make_pictures"] = pictures
_loader.loader.exec_module(pictures)

HOSTILE = (
    "<img src=x onerror=document.title='obeyed'> **bold** _it_ [a](javascript:alert(1)) :red[b] :material/bolt: "
    "$x^2$ #### h https://evil.example <b>c</b> `d`"
)


def document(**more: Any) -> dict[str, Any]:
    return {
        "incident_id": "I0001",
        "start": "2026-11-21T04:10:02.000000000Z",
        "end": "2026-11-21T04:10:07.000000000Z",
        "detected": "2026-11-21T04:10:07.000000000Z",
        "pattern": "syn_flood",
        "title": "10.0.0.1 flooded 10.0.0.2",
        "technique": "T1499.001",
        "severity": "high",
        "score": 0.9,
        "source": "10.0.0.1",
        "destinations": ["10.0.0.2"],
        "services": ["TCP/443"],
        "packets": 12,
        "bytes": 3400,
        "reasons": "7 half open; unusual: flows 9 (usually up to 1; 4 spreads out)",
        "display_filter": "ip.addr == 10.0.0.1",
        "normal": "",
        "evidence": {},
        "explanation": [],
        "community_ids": [],
    } | more


@pytest.fixture(scope="module")
def capture(tmp_path_factory: pytest.TempPathFactory, chain: Path, sample: Path, run_in: Any) -> Path:
    """A folder with the judged sample: packets and results of dataset/sample/mixed.pcap.gz."""
    folder = tmp_path_factory.mktemp("dashboard")
    shutil.copytree(chain / "models", folder / "models")
    run_in(folder, "capture.py", "--read", sample / "mixed.pcap.gz", "-q")
    run_in(folder, "detect.py", "--input", "dataset/captured_data.csv", "-q")
    return folder


@pytest.fixture(scope="module")
def store(capture: Path, tmp_path_factory: pytest.TempPathFactory) -> Store:
    made = Store(capture / "dataset" / "captured_data.csv", tmp_path_factory.mktemp("cache"))
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


def test_control_and_direction_characters_are_taken_out() -> None:
    assert results.plain("a\x1b[31m\u202eb\nc") == r"a\x1b[31m\u202eb\x0ac"


def test_what_changed_against_the_baseline_is_what_the_model_never_saw(capture: Path, store: Store) -> None:
    before = changes.baseline(capture / "models" / "isolation_forest.pkl")
    assert before is not None
    pairs = questions.pairs(store, Filter())
    seen = changes.changes(before, pairs, questions.answered(store))
    assert "172.21.243.70" in seen.hosts, "where the sample's uploads and tunnels go"
    assert "192.168.37.80" not in seen.hosts and set(seen.hosts).isdisjoint(before.hosts)
    assert seen.sought > 900, "the sample's sweeps look for hosts that are not there"
    same = changes.changes(before, pd.DataFrame(before.pairs, columns=["source", "destination"]), before.known.served)
    assert (same.hosts, len(same.talks), same.servers) == ([], 0, {})


def test_what_decided_is_counted_from_the_reasons(capture: Path) -> None:
    decided = results.deciding(capture / "results")
    table = tables.read(capture / "results" / "anomalies.csv", tables.ANOMALIES)
    assert decided and decided.rows == len(table)
    for name in ("hosts that the source contacted", "packets sent", "connections to the destination"):
        assert decided.features[name] == table["reasons"].str.contains(rf"(?:^|; ){name} \d").sum() > 0
    assert all(not any(c.isdigit() for c in name) for name in decided.features)


# ---------------------------------------------------------------- in a real browser


class Served(browser.Browser):
    """A running dashboard over the judged sample, and a browser that looks at it."""

    def __init__(self, folder: Path, place: Path) -> None:
        self.folder, self.place = folder, place
        self.dashboard = browser.Dashboard(folder, place / "log", "--cache", place / "cache")
        super().__init__(place)

    def page(self, name: str, words: str) -> str:
        return self.open(self.dashboard.url + name, words)

    def packets(self) -> str:
        """The number of packets that the page says it shows."""
        script = "return document.querySelector('[data-testid=stMetricValue]')?.innerText ?? ''"
        return str(self.run(script)).strip()


@pytest.fixture(scope="module")
def served(capture: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    if not browser.there():
        pytest.skip(browser.MISSING)
    made = Served(capture, tmp_path_factory.mktemp("browser"))
    yield made
    made.close()
    assert made.dashboard.close() == 0, "SIGTERM ends it, and nothing is left"


@pytest.mark.xdist_group("dashboard")
@pytest.mark.parametrize(
    ("page", "words"),
    [
        ("", "stand behind all of it"),
        ("incidents", "incidents:"),
        ("traffic", "Top talkers"),
        ("network", "Hardware addresses"),
        ("model", "Against labels"),
    ],
)
def test_each_page_loads_without_an_error_and_fetches_nothing_from_elsewhere(
    served: Served, page: str, words: str
) -> None:
    served.page(page, words)
    assert served.all("[data-testid='stException']") == []
    assert served.errors() == []
    asked = served.run("return performance.getEntriesByType('resource').map(e => e.name)")
    assert [url for url in asked if not url.startswith((served.dashboard.url, "data:", "blob:"))] == []
    served.resize(400, 800)
    served.wait(words)
    wide = "return [...document.querySelectorAll('body, [data-testid=stMain]')].map(e => e.scrollWidth)"
    browser.until(lambda: max(served.run(wide)) <= 400, "the page is wider than a phone", browser.PATIENCE_S)
    served.resize(1280, 1600)


@pytest.mark.xdist_group("dashboard")
@pytest.mark.parametrize("name", [name for name in pictures.SHOTS if name != "report"])
def test_the_pictures_in_the_docs_show_what_the_pages_say_today(served: Served, name: str) -> None:
    said = pictures.lines_of(served, pictures.SHOTS[name], served.dashboard.url, served.folder)
    known = pictures.recorded(pictures.IMAGES / f"{name}.png")
    assert [line for line in said if line not in known] == [], "run  python docs/make_pictures.py"
    assert len(said) > 10
    assert (pictures.IMAGES / f"{name}.png").stat().st_size < 150_000
    served.resize(1280, 1600)
    served.dark(False)


def test_the_picture_of_the_report_shows_the_incidents_of_today(capture: Path) -> None:
    said = pictures.recorded(pictures.IMAGES / "report.png")
    found = results.incidents(capture / "results")
    assert found and all(one.title in said for one in found), "run  python docs/make_pictures.py"


@pytest.mark.xdist_group("dashboard")
def test_an_incident_opens_by_the_keyboard_and_its_packets_download_as_a_capture(served: Served) -> None:
    served.page("", "Anomalous share")  # the end of the page
    served.tab_to("Open")
    for words in ("What to look at next", "Who", "To whom", "When", "How sure", "Why", "In Wireshark"):
        served.wait(words)
    served.click("Packets (PCAP)")
    frames_shown = tshark(served.downloaded(".pcap"))
    known = results.verdicts(served.folder / "results")
    worst = results.incidents(served.folder / "results")
    assert known and worst
    assert frames_shown == len(known.numbers(worst[0].incident_id)) > 0


@pytest.mark.xdist_group("dashboard")
def test_the_filters_change_what_is_shown_and_what_is_downloaded(served: Served, store: Store) -> None:
    served.page("traffic", "Packets (CSV)")
    before = served.packets()
    served.all("[data-testid='stMultiSelect'] input")[0].send_keys("UDP\n")
    browser.until(lambda: served.packets() not in (before, ""), "nothing changes", browser.PATIENCE_S)
    chosen = Filter(protocols=("UDP",))
    assert served.packets() == f"{questions.tally(store, chosen).packets:,}" != before
    for name, words in (("Host", "192.168.37.80"), ("Service", "53")):
        before = served.packets()
        served.type(name, words)
        chosen = dataclasses.replace(chosen, **{name.lower(): words})
        browser.until(lambda: served.packets() not in (before, ""), "nothing changes", browser.PATIENCE_S)  # noqa: B023
        assert served.packets() == f"{questions.tally(store, chosen).packets:,}" != "0"
    served.wait("Packets (CSV)")
    shown = questions.packets(store, chosen, 10**6)
    served.click("Packets (CSV)")
    table = pd.read_csv(served.downloaded(".csv"))
    assert list(table["packet"]) == list(shown["packet"]) and set(table["service"]) == {"UDP/53"}
    served.click("Packets (PCAP)")
    assert tshark(served.downloaded(".pcap")) == len(shown) > 10
    served.type("Host", "203.0.113.1")
    served.wait("No packets match this filter")


def tshark(path: Path) -> int:
    """The number of packets that tshark reads."""
    return len(subprocess.run(["tshark", "-r", path], capture_output=True, check=True).stdout.splitlines())


@pytest.mark.xdist_group("dashboard")
def test_an_earlier_capture_can_be_chosen_and_is_told_apart_from_the_results(served: Served, sample: Path) -> None:
    earlier = served.folder / "dataset" / "captures" / "2026-11-21T04-00-05Z"
    earlier.mkdir(parents=True)
    lines = (served.folder / "dataset" / "captured_data.csv").read_bytes().splitlines(keepends=True)
    (earlier / "captured_data.csv").write_bytes(b"".join(lines[:1001]))
    try:
        served.page("", "Worst first")
        served.choose("Packets", earlier.name)
        text = served.wait("These results are of another capture")
        assert "1,000" in text
    finally:
        shutil.rmtree(earlier)


@pytest.mark.xdist_group("dashboard")
def test_evidence_that_was_kept_can_be_downloaded(served: Served, sample: Path) -> None:
    (one, *_) = results.incidents(served.folder / "results") or []
    kept = served.folder / "results" / "evidence" / one.incident_id / "packets.pcap"
    kept.parent.mkdir(parents=True)
    source, _ = export.origin(served.folder / "dataset" / "captured_data.csv")
    assert source == sample / "mixed.pcap.gz"
    kept.write_bytes(export.as_pcap(source, np.arange(5, 12)))
    served.page(f"incidents?incident={one.incident_id}", "In Wireshark")
    served.click("Evidence (PCAP)")
    assert tshark(served.downloaded(f"{one.incident_id}.pcap")) == 7


@pytest.mark.xdist_group("dashboard")
def test_a_new_incident_comes_by_itself(served: Served) -> None:
    served.page("", "Worst first")
    path = served.folder / "results" / "incidents.json"
    kept = path.read_text()
    try:
        more = document(incident_id="I9999", severity="critical", score=1.0, title="quite new")
        tables.write_json(path, [more, *json.loads(kept)])
        served.wait("quite new")
    finally:
        tables.write_json(path, json.loads(kept))


@pytest.fixture
def hostile(tmp_path: Path, chain: Path) -> Path:
    """A capture and results with words that want to be more than words wherever text is not ours."""
    end = {"src_mac": f"{HOSTILE} m", "dst_mac": HOSTILE, "dns_query": HOSTILE, "server_name": f"={HOSTILE}"}
    rows = [
        tcp(number, HOSTILE if number % 2 else "10.0.0.1", "10.0.0.2", 40_000 + number, 443, flags, 20, **end)
        for number, flags in enumerate(["S", "SA", "A", "PA"] * 5)
    ]
    rows += [udp(21, "10.0.0.1", HOSTILE, 5353, 53, protocol=HOSTILE, **end)]
    packets = table(rows)
    shutil.copy(ROOT / "params.yaml", tmp_path)
    tables.write(tmp_path / "dataset" / "captured_data.csv", tables.PACKETS, packets)
    (tmp_path / "dataset" / "captures" / "<b>earlier</b>").mkdir(parents=True)
    shutil.copy(tmp_path / "dataset" / "captured_data.csv", tmp_path / "dataset" / "captures" / "<b>earlier</b>")
    start, last = (tables.iso(int(packets["time"].iloc[at])) for at in (0, -1))
    words = ("title", "pattern", "technique", "source", "reasons", "display_filter", "normal")
    reason = {"feature": HOSTILE, "words": HOSTILE, "value": 9, "usual_low": 0, "usual_high": 1, "unit": HOSTILE}
    reason |= {"spreads": 3, "share": 0.5, "window_s": 10}
    lists = {name: [HOSTILE] for name in ("destinations", "services", "community_ids")}
    more = {"evidence": {HOSTILE: HOSTILE}, "explanation": [reason], "start": start, "end": last}
    one = document(**dict.fromkeys(words, HOSTILE), **lists, **more)
    results_folder = tmp_path / "results"
    tables.write_json(results_folder / "incidents.json", [one])
    health = {"status": HOSTILE, "reasons": [HOSTILE], "kernel_drops": HOSTILE}
    tables.write_json(results_folder / "summary.json", {"start": start, "packets": len(packets), "health": health})
    numbers = dict.fromkeys(("roc_auc", "recall", "attacks", "attacks_found", "median_time_to_detect_s"), HOSTILE)
    tables.write_json(results_folder / "metrics.json", numbers | {"recall_per_attack": {HOSTILE: 0.5}})
    card = json.loads((chain / "models" / "model_card.json").read_text())
    card |= {"promise": HOSTILE, "warning": HOSTILE, "left_out": {HOSTILE: HOSTILE}}
    shutil.copytree(chain / "models", tmp_path / "models")
    tables.write_json(tmp_path / "models" / "model_card.json", card)
    return tmp_path


@pytest.mark.xdist_group("dashboard")
def test_hostile_words_stay_text_on_every_page(served: Served, hostile: Path) -> None:
    dashboard = browser.Dashboard(hostile, hostile / "log", "--cache", hostile / "cache")
    try:
        for page, words, shows in (
            ("", "Traffic", True),
            ("incidents", "Open", True),
            ("incidents?incident=I0001", "In Wireshark", True),
            ("traffic", "Packets (CSV)", False),
            ("network", "Hardware addresses", True),
            ("model", "Against labels", True),
        ):
            text = served.open(dashboard.url + page, words)
            assert (HOSTILE[:50] in text) == shows, page
            assert_only_text(served)
            if "I0001" in page:
                served.click("Do not tell again")
                served.wait("Hides incidents like this one")
                assert_only_text(served)
    finally:
        dashboard.close()


def assert_only_text(page: browser.Browser) -> None:
    """Nothing on the page is what HOSTILE wants to be: HTML, emphasis, a link, a coloured word, a formula, an icon."""
    assert page.driver.title == "netnormal"
    links = page.run("return [...document.querySelectorAll('a')].map(a => a.href)")
    assert not [link for link in links if not link.startswith("http://127.0.0.1")]
    for what in ("img[src='x']", "main strong", "main em", "main h4", ".katex", ".stMarkdownColoredText", "main mark"):
        assert page.all(what) == [], what
    assert page.all("[data-testid='stException']") == []
    assert page.errors() == []


@pytest.mark.xdist_group("dashboard")
def test_a_verdict_and_a_suppression_are_two_clicks(served: Served) -> None:
    files = {name: served.folder / name for name in (feedback.FILE, suppressions.FILE)}
    assert not any(path.exists() for path in files.values()), "else it writes where it should only read"
    found = results.incidents(served.folder / "results")
    assert found
    one = next(one for one in found if one.pattern == "port_scan")
    try:
        served.page(f"incidents?incident={one.incident_id}", "In Wireshark")
        served.type("Reason", "the yearly inventory")
        served.click("Benign")
        served.wait("Judged benign")
        table = feedback.read(files[feedback.FILE])
        assert table[["incident_id", "verdict", "reason"]].astype(str).to_numpy().tolist() == [
            [one.incident_id, "benign", "the yearly inventory"]
        ]
        assert len(feedback.benign_rows(files[feedback.FILE])[0]), "its rows join the next calibration"
        served.click("Do not tell again")
        served.click("Hide")
        served.wait("Suppressed: the yearly inventory")
        rules = suppressions.read(files[suppressions.FILE])
        assert [other.incident_id for other in found if rules.reason(other.document)] == [one.incident_id]
        served.page("incidents", "hide")
        assert one.title not in served.text()
        served.click("Show 1 more", "label")
        served.wait("hidden: the yearly inventory")
    finally:
        for path in files.values():
            path.unlink(missing_ok=True)


def test_what_a_reader_can_hide_is_what_the_rule_says_and_nothing_more(tmp_path: Path) -> None:
    one = results.incident(document(source="10.0.0.[1*]"))
    for number, (_, rule) in enumerate(verdict.likes(one)):
        suppressions.add(tmp_path / f"{number}.csv", **rule, reason="x")
        rules = suppressions.read(tmp_path / f"{number}.csv")
        assert rules.reason(one.document) == "x"
        assert rules.reason(document(source="10.0.0.1", pattern="udp_flood")) is None


@pytest.mark.xdist_group("dashboard")
def test_while_a_capture_is_followed_incidents_come_by_themselves_and_the_reader_keeps_the_place(
    served: Served, capture: Path, tmp_path: Path
) -> None:
    lines = (capture / "dataset" / "captured_data.csv").read_bytes().splitlines(keepends=True)
    minute = [
        next(i for i, line in enumerate(lines) if start in line) for start in (b"04:12:20", b"04:12:50", b"04:14:05")
    ]
    shutil.copytree(capture / "models", tmp_path / "models")
    shutil.copy(ROOT / "params.yaml", tmp_path)
    table = tmp_path / "dataset" / "captured_data.csv"
    table.parent.mkdir()
    table.write_bytes(b"".join(lines[: minute[0]]))
    follower = subprocess.Popen(
        [sys.executable, ROOT / "detect.py", "--follow", "-q"], cwd=tmp_path, stdout=subprocess.DEVNULL
    )
    dashboard = None
    try:
        dashboard = browser.Dashboard(tmp_path, tmp_path / "log", "--cache", tmp_path / "cache")
        browser.until((tmp_path / "results" / "live" / "status.json").exists, "it does not follow", browser.PATIENCE_S)
        served.open(dashboard.url, "No incidents")
        with table.open("ab", buffering=0) as file:
            file.write(b"".join(lines[minute[0] : minute[1]]))
            served.wait("flooded 192.168.37.46 with 11,043 pings")
            served.wait("no capture is writing")  # nobody is: the health line says so
            served.click("Incidents", "a")
            served.type("Search", "192.168.37.80")
            served.wait("1 of ")
            file.write(b"".join(lines[minute[1] : minute[2]]))
            served.wait("scanned 1,000 TCP ports of 192.168.37.178")
        assert served.all("input[aria-label='Search']")[0].get_attribute("value") == "192.168.37.80"
        served.click("Open")
        served.wait("In Wireshark")
        assert served.all("[data-testid='stException']") == []
    finally:
        follower.terminate()
        follower.wait(browser.PATIENCE_S)
        if dashboard is not None:
            dashboard.close()


@pytest.mark.xdist_group("dashboard")
def test_without_anything_it_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from streamlit.testing.v1 import AppTest

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["dashboard.py", "--cache", str(tmp_path / "cache")])
    app = AppTest.from_file(str(ROOT / "dashboard.py"), default_timeout=60).run()
    assert not app.exception
    assert {"python detect.py", "sudo .venv/bin/python capture.py --interface eth0"} <= {c.value for c in app.code}


def test_only_this_computer_can_open_it_and_nothing_is_reported() -> None:
    import tomllib

    chosen = tomllib.load(io.BytesIO((ROOT / ".streamlit" / "config.toml").read_bytes()))
    assert chosen["server"]["address"] == "127.0.0.1" and chosen["browser"]["gatherUsageStats"] is False
