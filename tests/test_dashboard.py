"""The dashboard: what it reads is bounded and right, and what came from the network stays text in a real browser."""

from __future__ import annotations

import io
import json
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import ROOT

from netnormal import frames, inputs, tables
from netnormal.dashboard import export, questions, results, story
from netnormal.dashboard.questions import Filter
from netnormal.dashboard.store import COLUMNS, Store, frame_of

HOSTILE = (
    "<img src=x onerror=\"document.title='obeyed'\"> **bold** [a](javascript:alert(1)) :red[b] https://evil.example"
)


def document(**more: Any) -> dict[str, Any]:
    return {
        "incident_id": "I0001",
        "start": "2026-11-21T04:10:02.000000000Z",
        "end": "2026-11-21T04:10:07.000000000Z",
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
    } | more


@pytest.fixture(scope="module")
def capture(tmp_path_factory: pytest.TempPathFactory, sample: Path, run_in: Any) -> Path:
    """A folder with the judged sample: packets and results of dataset/sample/mixed.pcap.gz."""
    folder = tmp_path_factory.mktemp("dashboard")
    run_in(folder, "capture.py", "--read", sample / "baseline.pcap.gz", "-q")
    run_in(folder, "extract_features.py", "-q")
    run_in(folder, "train_model.py", "-q")
    run_in(folder, "capture.py", "--read", sample / "mixed.pcap.gz", "-q")
    run_in(folder, "detect.py", "--input", "dataset/captured_data.csv", "-q")
    return folder


@pytest.fixture(scope="module")
def store(capture: Path, tmp_path_factory: pytest.TempPathFactory) -> Store:
    made = Store(capture / "dataset" / "captured_data.csv", tmp_path_factory.mktemp("cache"))
    made.update()
    return made


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
    assert questions.totals(follower, Filter()) == questions.totals(store, Filter())


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
    sums = questions.totals(store, Filter())
    assert (sums["packets"], sums["bytes"]) == (len(whole), whole["length"].sum())
    by_protocol = questions.protocols(store).set_index("protocol")["packets"].to_dict()
    assert by_protocol == whole["protocol"].astype(str).value_counts().to_dict()
    udp = Filter(protocols=("UDP",), host="192.168.37.0/24")
    shown = questions.packets(store, udp, 10**6)
    assert len(shown) == questions.totals(store, udp)["packets"] > 100
    assert set(shown["protocol"]) == {"UDP"}


@pytest.mark.parametrize(
    ("typed", "fits"),
    [("tcp/443", True), ("443", True), ("TCP", True), ("80, 443", True), ("44", False), ("udp/443", False)],
)
def test_a_service_is_found_as_people_type_it(typed: str, fits: bool) -> None:
    assert questions.of_service("TCP/443", typed) is fits


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
    assert export.harmless('=HYPERLINK("x")') == '\'=HYPERLINK("x")'
    assert export.harmless("www.example.org") == "www.example.org"


# ---------------------------------------------------------------- what is said


def test_an_incident_that_is_none_is_refused(tmp_path: Path) -> None:
    for bad in ({"incident_id": "../x"}, {"start": "yesterday"}, {"packets": "many"}):
        (tmp_path / "incidents.json").write_text(json.dumps([document(**bad)]))
        with pytest.raises(tables.InputError, match="no incident"):
            results.incidents(tmp_path)


def test_reasons_without_an_explanation_are_read_from_their_words() -> None:
    found = story.reasons(results.incident(document()))
    assert [(one.words, one.value, one.high) for one in found] == [("flows", 9, 1)]


def test_who_is_behind_it_is_said_in_one_sentence() -> None:
    two = [results.incident(document()), results.incident(document(incident_id="I2", severity="critical"))]
    assert story.headline(two) == "2 incidents: 1 critical, 1 high"
    assert story.who(two) == "10.0.0.1 (2) stands behind all of it. Most affected: 10.0.0.2."
    assert story.matching(two, ["critical"], "FLOOD 10.0.0.2") == [two[1]]


def test_control_and_direction_characters_are_taken_out() -> None:
    assert results.plain("a\x1b[31m\u202eb\nc") == r"a\x1b[31m\u202eb\x0ac"


# ---------------------------------------------------------------- in a real browser


def free_port() -> int:
    with socket.socket() as made:
        made.bind(("127.0.0.1", 0))
        return int(made.getsockname()[1])


class Served:
    """A running dashboard and a browser that looks at it."""

    def __init__(self, folder: Path, browser: Any, port: int) -> None:
        self.folder, self.browser, self.port = folder, browser, port

    def open(self, page: str, until: str) -> str:
        self.browser.get(f"http://127.0.0.1:{self.port}/{page}")
        return self.wait(until)

    def wait(self, until: str, absent: bool = False) -> str:
        """The page's text once it holds `until` (or no longer does)."""
        end = time.monotonic() + 60
        text = ""
        while time.monotonic() < end:
            text = self.browser.execute_script("return document.body.innerText")
            if (until in text) != absent and not self.browser.find_elements(
                "css selector", '[data-testid="stStatusWidget"]'
            ):
                return text
            time.sleep(0.2)
        raise AssertionError(f"{until!r} {'stays' if absent else 'does not come'}: {text[:3000]}")

    def packets(self) -> str:
        """The number of packets that the page says it shows."""
        script = "return document.querySelector('[data-testid=stMetricValue]')?.innerText ?? ''"
        return str(self.browser.execute_script(script)).strip()

    def errors(self) -> list[str]:
        """What the console says, without Streamlit's own search for its base path."""
        said = [line["message"] for line in self.browser.get_log("browser") if line["level"] == "SEVERE"]
        return [line for line in said if "/_stcore/" not in line]


@pytest.fixture(scope="module")
def served(capture: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    if not shutil.which("chromedriver"):
        pytest.skip("needs chromium and chromedriver (apt-get install chromium-driver)")
    from selenium import webdriver
    from selenium.webdriver.chrome.options import Options
    from selenium.webdriver.chrome.service import Service

    port, place = free_port(), tmp_path_factory.mktemp("browser")
    log = (place / "log").open("w+")
    command = [sys.executable, ROOT / "dashboard.py", "--port", str(port), "--cache", place / "cache"]
    environment = {name: value for name, value in os.environ.items() if "proxy" not in name.lower()}
    server = subprocess.Popen(
        command, cwd=capture, env=environment, stdout=log, stderr=log, stdin=subprocess.DEVNULL, start_new_session=True
    )
    options = Options()
    for switch in ("--headless=new", "--no-sandbox", "--disable-gpu", "--no-proxy-server", "--window-size=1280,1600"):
        options.add_argument(switch)
    options.add_argument("--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1")
    options.add_argument(f"--user-data-dir={place / 'profile'}")
    options.add_experimental_option("prefs", {"download.default_directory": str(place / "downloads")})
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    for _ in range(300):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                break
        time.sleep(0.1)
    driver = None
    try:
        driver = webdriver.Chrome(options=options, service=Service(shutil.which("chromedriver")))
        made = Served(capture, driver, port)
        made.downloads = place / "downloads"  # type: ignore[attr-defined]
        yield made
    finally:
        if driver:
            driver.quit()
        os.killpg(server.pid, 15)
        server.wait(20)
        log.close()


@pytest.mark.xdist_group("dashboard")
@pytest.mark.parametrize(
    ("page", "words"),
    [
        ("", "stand behind all of it"),
        ("incidents", "incidents:"),
        ("traffic", "Top talkers"),
        ("network", "Hardware addresses"),
        ("model", "Calibration and drift"),
    ],
)
def test_each_page_loads_without_an_error_and_fetches_nothing_from_elsewhere(
    served: Served, page: str, words: str
) -> None:
    served.open(page, words)
    assert served.browser.find_elements("css selector", '[data-testid="stException"]') == []
    assert served.errors() == []
    asked = served.browser.execute_script("return performance.getEntriesByType('resource').map(e => e.name)")
    assert [url for url in asked if not url.startswith((f"http://127.0.0.1:{served.port}", "data:", "blob:"))] == []


@pytest.mark.xdist_group("dashboard")
def test_an_incident_opens_and_its_packets_download_as_a_capture(served: Served) -> None:
    served.open("", "Worst first")
    served.browser.find_element("xpath", "//button[contains(., 'Open')]").click()
    for words in ("What to look at next", "Who:", "To whom:", "When:", "How sure:", "Why", "In Wireshark"):
        served.wait(words)
    served.wait("Packets (PCAP)")
    served.browser.find_element("xpath", "//button[contains(., 'Packets (PCAP)')]").click()
    folder: Path = served.downloads  # type: ignore[attr-defined]
    end = time.monotonic() + 30
    while not list(folder.glob("*.pcap")) and time.monotonic() < end:
        time.sleep(0.2)
    (made,) = folder.glob("*.pcap")
    done = subprocess.run(["tshark", "-r", made], capture_output=True, text=True, check=True)
    known = results.verdicts(served.folder / "results")
    worst = results.incidents(served.folder / "results")
    assert known and worst
    assert len(done.stdout.splitlines()) == len(known.numbers(worst[0].incident_id)) > 0


@pytest.mark.xdist_group("dashboard")
def test_the_protocol_filter_changes_what_is_shown(served: Served, store: Store) -> None:
    served.open("traffic", "Packets (CSV)")
    before = served.packets()
    served.browser.find_element("css selector", '[data-testid="stMultiSelect"] input').send_keys("UDP\n")
    end = time.monotonic() + 30
    while served.packets() in (before, "") and time.monotonic() < end:
        time.sleep(0.2)
    udp = questions.totals(store, Filter(protocols=("UDP",)))["packets"]
    assert served.packets() == f"{udp:,}" != before


@pytest.mark.xdist_group("dashboard")
def test_hostile_words_stay_text_and_a_new_incident_comes_by_itself(served: Served) -> None:
    served.open("", "Worst first")
    path = served.folder / "results" / "incidents.json"
    kept = path.read_text()
    try:
        more = document(incident_id="I9999", severity="critical", score=1.0, title=HOSTILE)
        tables.write_json(path, [more, *json.loads(kept)])
        served.wait(HOSTILE)
        assert served.browser.title == "netnormal"
        links = served.browser.execute_script("return [...document.querySelectorAll('a')].map(a => a.href)")
        assert not [link for link in links if "evil" in link or "javascript" in link]
        assert served.browser.find_elements("css selector", "img[src='x']") == []
    finally:
        tables.write_json(path, json.loads(kept))


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
