"""The dashboard in a real browser: every feature is clicked, and what came from the network stays text."""

from __future__ import annotations

import dataclasses
import importlib.util
import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import browser
import numpy as np
import pandas as pd
import pytest
from conftest import ROOT
from dashboards import HOSTILE, document, hostile

from netnormal import feedback, suppressions, tables
from netnormal.dashboard import export, questions, results
from netnormal.dashboard.filters import Filter
from netnormal.dashboard.store import Store

pytestmark = pytest.mark.xdist_group("dashboard")  # one process: one dashboard, one browser

_loader = importlib.util.spec_from_file_location("make_pictures", ROOT / "docs" / "make_pictures.py")
assert _loader is not None and _loader.loader is not None
pictures = importlib.util.module_from_spec(_loader)
sys.modules["make_pictures"] = pictures
_loader.loader.exec_module(pictures)

#: each page, its title, and words that stand at its end
PAGES = [
    ("", "Overview", "Anomalous share"),
    ("incidents", "Incidents", "incidents:"),
    ("traffic", "Traffic", "Packets (CSV)"),
    ("network", "Network", "Hardware addresses"),
    ("model", "Model", "Against labels"),
]


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

    def new_number(self, before: str) -> str:
        browser.until(lambda: self.packets() not in (before, ""), "nothing changes", browser.PATIENCE_S)
        return self.packets()

    def incidents(self) -> list[results.Incident]:
        return results.incidents(self.folder / "results") or []


@pytest.fixture(scope="module")
def served(judged: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    if not browser.there():
        pytest.skip(browser.MISSING)
    made = Served(judged, tmp_path_factory.mktemp("browser"))
    yield made
    made.close()
    assert made.dashboard.close() == 0, "SIGTERM ends it, and nothing is left"


@pytest.fixture(scope="module")
def store(judged: Path, tmp_path_factory: pytest.TempPathFactory) -> Store:
    made = Store(judged / "dataset" / "captured_data.csv", tmp_path_factory.mktemp("cache"))
    made.update()
    return made


def tshark(path: Path) -> int:
    """The number of packets that tshark reads."""
    return len(subprocess.run(["tshark", "-r", path], capture_output=True, check=True).stdout.splitlines())


# ---------------------------------------------------------------- each page


@pytest.mark.parametrize(("page", "title", "words"), PAGES)
def test_each_page_loads_without_an_error_and_fetches_nothing_from_elsewhere(
    served: Served, page: str, title: str, words: str
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


@pytest.mark.parametrize("name", [name for name in pictures.SHOTS if name != "report"])
def test_the_pictures_in_the_docs_show_what_the_pages_say_today(served: Served, name: str) -> None:
    said = pictures.lines_of(served, pictures.SHOTS[name], served.dashboard.url, served.folder)
    known = pictures.recorded(pictures.IMAGES / f"{name}.png")
    assert [line for line in said if line not in known] == [], "run  python docs/make_pictures.py"
    assert len(said) > 10
    assert (pictures.IMAGES / f"{name}.png").stat().st_size < 150_000
    served.resize(1280, 1600)
    served.dark(False)


def test_the_picture_of_the_report_shows_the_incidents_of_today(judged: Path) -> None:
    said = pictures.recorded(pictures.IMAGES / "report.png")
    found = results.incidents(judged / "results")
    assert found and all(one.title in said for one in found), "run  python docs/make_pictures.py"


# ---------------------------------------------------------------- incidents


def test_an_incident_opens_by_the_keyboard_and_its_packets_download_as_a_capture(served: Served) -> None:
    served.page("", "Anomalous share")  # the end of the page
    served.tab_to("Open")
    for words in ("What to look at next", "Who", "To whom", "When", "How sure", "Why", "In Wireshark"):
        served.wait(words)
    served.click("Packets (PCAP)")
    frames_shown = tshark(served.downloaded(".pcap"))
    known = results.verdicts(served.folder / "results")
    assert known and frames_shown == len(known.numbers(served.incidents()[0].incident_id)) > 0


def test_the_filter_of_an_incident_is_copied_by_a_click(served: Served) -> None:
    (one, *_) = served.incidents()
    rights = {"permissions": ["clipboardReadWrite", "clipboardSanitizedWrite"], "origin": served.dashboard.url}
    served.driver.execute_cdp_cmd("Browser.grantPermissions", rights)
    served.page(f"incidents?incident={one.incident_id}", "In Wireshark")
    served.press("[aria-label='Copy to clipboard']")
    script = "const done = arguments[0]; navigator.clipboard.readText().then(done, e => done(String(e)))"
    browser.until(
        lambda: served.driver.execute_async_script(script) == one.display_filter, "not copied", browser.PATIENCE_S
    )


def test_incidents_are_searched_chosen_by_severity_and_listed_as_a_table(served: Served) -> None:
    found = served.incidents()
    served.page("", "Anomalous share")
    served.click(f"All {len(found)} incidents")
    served.wait(f"{len(found)} of {len(found)}")
    high = [one for one in found if one.severity == "high"]
    served.click("high")
    served.wait(f"{len(high)} of {len(found)}")
    served.type("Search", high[-1].incident_id)
    served.wait(f"1 of {len(found)}")
    served.click("Table")
    served.wait(f"1 of {len(found)}")
    browser.until(lambda: served.all("[data-testid='stDataFrame'] canvas"), "no table comes", browser.PATIENCE_S)
    assert "Open" not in served.text()


def test_a_source_leads_to_its_incidents_and_one_incident_to_the_others(served: Served) -> None:
    found = served.incidents()
    served.page("", "Anomalous share")
    worst = found[0].source
    own = [one for one in found if one.source == worst]
    served.click(f"{len(own)} incidents")
    served.wait(f"{len(own)} of {len(found)}")
    served.click("Open")
    served.wait("What else this source did")
    served.click("All incidents")
    served.wait(f" of {len(found)}")


def test_what_is_new_opens_by_a_click(served: Served) -> None:
    served.page("", "Anomalous share")
    assert "No alarm" not in served.text()
    served.click("New, but no incident", "summary")
    served.wait("No alarm: most networks see such things every day.")
    served.click("Network", "a")
    served.click("Pairs of hosts that never talked", "summary")
    served.wait("Hardware addresses")
    assert served.all("details[open] [data-testid='stDataFrame']")


def test_evidence_that_was_kept_can_be_downloaded(served: Served, sample: Path) -> None:
    (one, *_) = served.incidents()
    kept = served.folder / "results" / "evidence" / one.incident_id / "packets.pcap"
    kept.parent.mkdir(parents=True)
    source, _ = export.origin(served.folder / "dataset" / "captured_data.csv")
    assert source == sample / "mixed.pcap.gz"
    kept.write_bytes(export.as_pcap(source, np.arange(5, 12)))
    served.page(f"incidents?incident={one.incident_id}", "In Wireshark")
    served.click("Evidence (PCAP)")
    assert tshark(served.downloaded(f"{one.incident_id}.pcap")) == 7


def test_a_verdict_and_a_suppression_are_two_clicks(served: Served) -> None:
    files = {name: served.folder / name for name in (feedback.FILE, suppressions.FILE)}
    assert not any(path.exists() for path in files.values()), "else it writes where it should only read"
    found = served.incidents()
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
        served.click("All incidents")
        served.wait("hide")
        assert one.title not in served.text()
        served.click("Show 1 more", "label")
        served.wait("hidden: the yearly inventory")
    finally:
        for path in files.values():
            path.unlink(missing_ok=True)


# ---------------------------------------------------------------- traffic


def test_the_filters_change_what_is_shown_and_what_is_downloaded(served: Served, store: Store) -> None:
    served.page("traffic", "Packets (CSV)")
    before = served.packets()
    served.all("[data-testid='stMultiSelect'] input")[0].send_keys("UDP\n")
    chosen = Filter(protocols=("UDP",))
    before = served.new_number(before)
    assert before == f"{questions.tally(store, chosen).packets:,}"
    for name, words in (("Host", "192.168.37.80"), ("Service", "53")):
        served.type(name, words)
        chosen = dataclasses.replace(chosen, **{name.lower(): words})
        before = served.new_number(before)
        assert before == f"{questions.tally(store, chosen).packets:,}" != "0"
    served.wait("Packets (CSV)")
    shown = questions.packets(store, chosen, 10**6)
    served.click("Packets (CSV)")
    table = pd.read_csv(served.downloaded(".csv"))
    assert list(table["packet"]) == list(shown["packet"]) and set(table["service"]) == {"UDP/53"}
    served.click("Packets (PCAP)")
    assert tshark(served.downloaded(".pcap")) == len(shown) > 10
    served.type("Host", "203.0.113.1")
    served.wait("No packets match this filter")


def test_the_time_is_chosen_by_the_keyboard(served: Served) -> None:
    served.page("traffic", "Packets (CSV)")
    before = served.packets()
    served.run("document.querySelector('[data-testid=stSlider] input').focus()")
    served.driver.switch_to.active_element.send_keys("\ue014" * 10)  # ten times to the right
    assert int(served.new_number(before).replace(",", "")) < int(before.replace(",", ""))


# ---------------------------------------------------------------- what changes while it is looked at


def test_an_earlier_capture_can_be_chosen_and_is_told_apart_from_the_results(served: Served) -> None:
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


def test_a_new_incident_comes_by_itself_and_the_reader_keeps_place_and_period(served: Served) -> None:
    served.page("", "Anomalous share")
    path = served.folder / "results" / "incidents.json"
    kept = json.loads(path.read_text("utf-8"))
    later = dict.fromkeys(("start", "end", "detected"), "2026-11-21T08:10:02.000000000Z")
    scroll = "return document.querySelector('[data-testid=stMain]').scrollTop"
    served.resize(1280, 700)
    try:
        tables.write_json(path, [document(incident_id="I8888", title="hours later", **later), *kept])
        served.wait("hours later")
        served.click("hour")
        assert kept[0]["title"] not in served.wait("1 incident: 1 high in the last hour")
        served.run("document.querySelector('[data-testid=stMain]').scrollTop = 300")
        place = served.run(scroll)
        more = document(incident_id="I9999", severity="critical", score=1.0, title="quite new", **later)
        tables.write_json(path, [more, document(incident_id="I8888", title="hours later", **later), *kept])
        served.wait("quite new")
        served.wait("2 incidents: 1 critical, 1 high in the last hour")
        assert served.run(scroll) == place > 0
        served.click("Refresh by itself", "label")
        served.wait("quite new")
    finally:
        tables.write_json(path, kept)
        served.resize(1280, 1600)


def test_while_a_capture_is_followed_incidents_come_by_themselves_with_their_packets_and_evidence(
    served: Served, judged: Path, sample: Path, tmp_path: Path
) -> None:
    lines = (judged / "dataset" / "captured_data.csv").read_bytes().splitlines(keepends=True)
    minute = [
        next(i for i, line in enumerate(lines) if start in line) for start in (b"04:12:20", b"04:12:50", b"04:14:05")
    ]
    shutil.copytree(judged / "models", tmp_path / "models")
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
        found = results.incidents(tmp_path / "results" / "live") or []
        flood = next(one for one in found if one.pattern == "icmp_flood")
        kept = tmp_path / "results" / "evidence" / flood.incident_id / "packets.pcap"
        kept.parent.mkdir(parents=True)
        source, _ = export.origin(judged / "dataset" / "captured_data.csv")
        assert source == sample / "mixed.pcap.gz"
        kept.write_bytes(export.as_pcap(source, np.arange(5, 12)))
        served.type("Search", flood.incident_id)
        served.wait(flood.title)
        served.click("Open")
        served.wait("In Wireshark")
        served.click("Evidence (PCAP)")
        assert tshark(served.downloaded(f"{flood.incident_id}.pcap")) == 7
        served.click("Packets (CSV)")
        its = pd.read_csv(served.downloaded(".csv"))
        assert len(its) == flood.packets and {*its["src_ip"], *its["dst_ip"]} == {flood.source, *flood.destinations}
        served.click("the last whole run", "label")
        served.wait("Nothing has been judged yet.")
        assert served.all("[data-testid='stException']") == []
    finally:
        follower.terminate()
        follower.wait(browser.PATIENCE_S)
        served.leave()
        if dashboard is not None:
            dashboard.close()


# ---------------------------------------------------------------- what came from the network


def test_hostile_words_stay_text_on_every_page(served: Served, chain: Path, tmp_path: Path) -> None:
    hostile(tmp_path, chain / "models")
    dashboard = browser.Dashboard(tmp_path, tmp_path / "log", "--cache", tmp_path / "cache", by_streamlit=True)
    try:
        served.open(dashboard.url, "Mbit a second")
        served.click("New, but no incident", "summary")
        for _, title, words in PAGES:
            served.click(title, "a")
            text = served.wait({"Overview": "Mbit a second", "Incidents": "1 of 1"}.get(title, words))
            assert (HOSTILE[:50] in text) == (title != "Traffic"), title  # its tables are pictures
            assert_only_text(served)
        served.click("Incidents", "a")
        served.click("Open")
        assert HOSTILE[:50] in served.wait("In Wireshark")
        served.click("Do not tell again")
        served.wait("Hides incidents like this one")
        assert_only_text(served)
    finally:
        served.leave()
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
