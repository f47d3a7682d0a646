"""The dashboard's pages as Streamlit runs them, without a browser: what each filter, button and form does."""

from __future__ import annotations

import contextlib
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
from conftest import ROOT
from dashboards import document
from streamlit.testing.v1 import AppTest
from streamlit.util import calc_hash

from netnormal import feedback, suppressions, tables
from netnormal.dashboard import charts, results
from netnormal.dashboard.store import Store
from netnormal.figures import LIGHT

pytestmark = pytest.mark.xdist_group("dashboard")
Opened = Callable[..., AppTest]
CAPTURE = "sudo .venv/bin/python capture.py --interface eth0"


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch, cache: Path) -> Opened:
    """`opened(folder, "incidents", incident=…)`: that page of a dashboard in `folder`, after its first run."""

    def run(folder: Path, page: str = "", **query: str) -> AppTest:
        monkeypatch.chdir(folder)
        monkeypatch.setattr(sys, "argv", ["dashboard.py", "--cache", str(cache)])
        monkeypatch.setattr("netnormal.dashboard.app.PATIENCE_S", 120)
        table = folder / "dataset" / "captured_data.csv"
        if table.exists():  # nobody asks again while packets are read
            with contextlib.suppress(tables.InputError):
                Store(table, cache).update()
        app = AppTest.from_file(str(ROOT / "dashboard.py"), default_timeout=120)
        app._page_hash = calc_hash(page)  # it has a way to pages that are files only
        for name, value in query.items():
            app.query_params[name] = value
        return checked(app.run())

    return run


def checked(app: AppTest) -> AppTest:
    assert not app.exception, [error.value for error in app.exception]
    return app


def said(app: AppTest) -> str:
    return "\n".join(str(part.value) for kind in (app.header, app.text, app.caption, app.code) for part in kind)


@pytest.fixture
def many(tmp_path: Path) -> Path:
    """A folder with 45 incidents over two days, two an hour, by two hosts, and no packets."""
    found = []
    for number in range(45):
        hour = f"{21 + number // 24}T{number % 24:02}"
        found.append(
            document(
                incident_id=f"I{number:04}",
                title=f"number {number}.",
                start=f"2026-11-{hour}:10:02.000000000Z",
                end=f"2026-11-{hour}:10:07.000000000Z",
                severity=["low", "high", "medium"][number % 3],
                source=f"10.0.0.{1 + number % 2}",
                destinations=["10.0.9.9"] if number == 44 else ["10.0.0.3"],
            )
        )
    tables.write_json(tmp_path / "results" / "incidents.json", found)
    shutil.copy(ROOT / "params.yaml", tmp_path)
    return tmp_path


# ---------------------------------------------------------------- what was found


@pytest.mark.parametrize(
    ("page", "commands"),
    [
        ("", ["python detect.py", CAPTURE]),
        ("incidents", ["python detect.py"]),
        ("traffic", [CAPTURE]),
        ("network", [CAPTURE]),
        ("model", ["dvc repro train_model"]),
    ],
)
def test_without_anything_each_page_says_what_to_do(
    tmp_path: Path, opened: Opened, page: str, commands: list[str]
) -> None:
    assert [code.value for code in opened(tmp_path, page).code] == commands


def test_the_first_page_says_who_how_sure_and_what_next(judged: Path, opened: Opened) -> None:
    app = opened(judged)
    found = results.incidents(judged / "results")
    assert found
    assert app.header[0].value.startswith(f"{len(found)} incidents: 1 critical")
    text = said(app)
    assert "stand behind all of it. Most affected: " in text
    assert "How sure: named pattern. Next: " in text
    assert found[0].title in text and found[5].title not in text
    assert [tile.label for tile in app.metric] == [
        "Packets",
        "Bytes",
        "Hosts",
        "Packets/s",
        "Mbit/s",
        "Anomalous",
        "Lost",
    ]
    assert app.metric[0].value == f"{sum(1 for _ in (judged / 'dataset' / 'captured_data.csv').open()) - 1:,}"


def test_what_is_new_is_told_apart_from_incidents_with_an_explanation(judged: Path, opened: Opened) -> None:
    told = tables.read(judged / "results" / "notices.csv", tables.NOTICES)
    (part,) = opened(judged).expander
    assert part.label == f"New, but no incident: {len(told)} notices" and "No alarm" in part.caption[0].value
    assert list(part.dataframe[0].value["What"]) == list(told["title"])


def test_the_last_period_shows_its_incidents_only(many: Path, opened: Opened) -> None:
    app = opened(many)
    (choice,) = app.button_group
    assert choice.options == ["10 minutes", "hour", "day", "whole time"]
    assert app.header[0].value == "45 incidents: 15 high, 15 medium, 15 low"
    choice.set_value("hour")
    assert checked(app.run()).header[0].value == "2 incidents: 1 high, 1 medium in the last hour"
    app.button_group[0].set_value("day")
    assert checked(app.run()).header[0].value == "25 incidents: 8 high, 9 medium, 8 low in the last day"


def test_incidents_are_found_by_severity_and_by_any_words(many: Path, opened: Opened) -> None:
    app = opened(many, "incidents")
    assert "45 of 45" in said(app) and "number 1." in said(app)
    app.text_input(key="search").set_value("10.0.0.1 10.0.9.9")
    assert "1 of 45" in said(checked(app.run())) and "number 44." in said(app)
    app.text_input(key="search").set_value("nowhere")
    assert "0 of 45" in said(checked(app.run()))
    app.text_input(key="search").set_value("")
    app.button_group(key="severities").set_value(["high", "low"])
    assert "30 of 45" in said(checked(app.run())) and "number 44." not in said(app)
    app.button_group(key="shape").set_value("Table")
    (table,) = checked(app.run()).dataframe
    assert list(table.value.columns) == ["Severity", "What", "Source", "Start (UTC)", "Duration [s]", "Id"]
    assert len(table.value) == 30 and set(table.value["Severity"]) == {"high", "low"}


def test_many_incidents_come_in_pages(many: Path, opened: Opened) -> None:
    app = opened(many, "incidents")
    first = said(app)
    app.number_input(key="page").set_value(3)
    last = said(checked(app.run()))
    shown = [{number for number in range(45) if f"number {number}." in text} for text in (first, last)]
    assert [len(numbers) for numbers in shown] == [20, 5] and not shown[0] & shown[1]


def test_one_incident_answers_what_who_when_how_sure_and_what_next(judged: Path, opened: Opened) -> None:
    found = results.incidents(judged / "results")
    assert found
    one = next(one for one in found if one.pattern == "port_scan")
    app = opened(judged, "incidents", incident=one.incident_id)
    text = said(app)
    for words in (one.title, one.source, one.destinations[0], "What to look at next", "Score 1.00: expected in less"):
        assert words in text, words
    assert app.code[0].value == one.display_filter
    assert len(app.dataframe[0].value) == 500, "its first packets"
    assert app.get("download_button")
    assert "What else this source did" in {part.value for part in app.subheader}


def test_an_incident_that_is_gone_is_said_to_be(judged: Path, opened: Opened) -> None:
    assert "not among these results" in said(opened(judged, "incidents", incident="I0"))


# ---------------------------------------------------------------- what a reader writes


def test_a_verdict_is_written_with_its_reason_and_shown(many: Path, opened: Opened) -> None:
    app = opened(many, "incidents", incident="I0044")
    app.text_input[0].set_value("a drill")
    app.button(key="judge_malicious").click()
    assert "Judged malicious." in said(checked(app.run()))
    (row,) = feedback.read(many / feedback.FILE).astype(str).to_dict("records")
    assert (row["incident_id"], row["verdict"], row["reason"]) == ("I0044", "malicious", "a drill")
    app = opened(many, "incidents")
    app.text_input(key="search").set_value("I0044")
    assert "· malicious" in said(checked(app.run()))


def test_what_is_suppressed_is_hidden_from_every_page_until_it_is_asked_for(many: Path, opened: Opened) -> None:
    app = opened(many, "incidents", incident="I0044")
    assert app.button(key="hide").disabled, "without a reason"
    app.text_input[0].set_value("known")
    checked(app.run())
    which = app.radio(key="which")
    which.set_value(next(i for i, words in enumerate(which.options) if words.startswith("anything by")))
    app.button(key="hide").click()
    assert "Suppressed: known" in said(checked(app.run()))
    rules = suppressions.read(many / suppressions.FILE)
    assert rules.reason(document(source="10.0.0.1")) == "known" and rules.reason(document(source="10.0.0.2")) is None
    for page in ("", "incidents"):
        assert opened(many, page).header[0].value.startswith("22 incidents: ")
    app = opened(many, "incidents")
    app.toggle(key="hidden").set_value(True)
    assert "hidden: known" in said(checked(app.run())) and "45 of 45" in said(app)


# ---------------------------------------------------------------- traffic, network, model


def test_traffic_is_filtered_by_time_host_service_and_protocol(judged: Path, opened: Opened) -> None:
    app = opened(judged, "traffic")
    packets = tables.read(judged / "dataset" / "captured_data.csv", tables.PACKETS)
    protocols = app.multiselect(key="protocols")
    assert set(protocols.options) == set(packets["protocol"].astype(str))
    (slider,) = app.slider
    low, high = slider.value
    middle = low + (high - low) / 2
    slider.set_value((low, middle.replace(microsecond=0)))
    early = packets[packets["time"] <= tables.nanoseconds(f"{middle.replace(microsecond=0).isoformat()}Z")]
    shown = int(checked(app.run()).metric[0].value.replace(",", ""))
    assert 0 <= shown - len(early) < len(packets) / 50, "whole seconds"
    app.multiselect(key="protocols").set_value(["ARP"])
    arp = checked(app.run()).dataframe[1].value
    assert set(arp["service"]) == {"ARP"} and "hardware source" in arp.columns
    app.text_input(key="host").set_value("192.168.37.0/30")
    inside = checked(app.run()).dataframe[1].value
    assert (
        inside["source"].isin(["192.168.37.1", "192.168.37.2"]) | inside["destination"].isin(["192.168.37.1"])
    ).all()
    app.text_input(key="service").set_value("TCP/9")
    assert "No packets match this filter: widen it." in said(checked(app.run()))


def test_the_network_page_knows_the_router_the_new_hosts_and_who_was_spoofed(judged: Path, opened: Opened) -> None:
    app = opened(judged, "network")
    hosts = app.dataframe[1].value.set_index("Host")
    assert hosts.loc["192.168.37.1", "Role"] == "router"
    assert (
        hosts.loc["172.21.243.70", "In the baseline"] == "new"
        and hosts.loc["192.168.37.80", "In the baseline"] == "yes"
    )
    assert hosts["Incidents caused"].iloc[0] > 0 and hosts["Incidents caused"].is_monotonic_decreasing
    assert "192.168.37.99 was used by " in said(app)
    pairs = app.expander[0].dataframe[0].value
    assert list(pairs.columns) == ["who asked", "whom", "packets", "bytes", "failed attempts"] and len(pairs) > 10


def test_the_busiest_hosts_are_shown_with_whom_they_asked_however_many_there_are() -> None:
    names = ("source", "destination", "packets", "bytes", "failed")
    rows = [(f"10.0.{i // 250}.{i % 250}", f"10.9.0.{i % 40}", 1000 - i, 60, 0) for i in range(1000)]
    drawn = charts.matrix(pd.DataFrame(rows, columns=names), {"10.0.3.249"}, LIGHT).to_dict()
    (cells,) = drawn["datasets"].values()
    assert len(cells) == 25 and [cell["from"] for cell in cells if cell["suspect"]] == ["10.0.3.249"]


def test_the_model_page_shows_metrics_when_labels_were_compared(judged: Path, opened: Opened) -> None:
    assert "No labels were compared." in said(opened(judged, "model"))
    path = judged / "results" / "metrics.json"
    figures = {"roc_auc": 0.99, "recall": 0.9, "mean_recall": 0.8, "attacks": 3, "attacks_found": 2}
    tables.write_json(path, figures | {"recall_per_attack": {"syn_scan": 1.0, "udp_scan": None}})
    try:
        tiles = {tile.label: tile.value for tile in opened(judged, "model").metric}
    finally:
        path.unlink()
    assert tiles["ROC AUC"] == "0.990" and tiles["Attacks found"] == "2 of 3" and tiles["False incidents"] == "–"


def test_files_that_cannot_be_read_are_said_in_a_sentence_on_each_page(many: Path, opened: Opened) -> None:
    (many / "results" / "incidents.json").write_text("{")
    (many / "dataset").mkdir()
    (many / "dataset" / "captured_data.csv").write_text("a,b\n1,2\n")
    assert "incidents.json: is not JSON" in said(opened(many, "incidents"))
    assert "no column packet" in said(opened(many, "traffic"))
