"""The report: complete in itself, nothing from the network obeyed, readable in a real browser."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import browser
import pandas as pd
import pytest

from netnormal import figures, report, tables, traffic

SECOND = 10**9
START = 1_795_234_087 * SECOND
PIXEL = bytes.fromhex(  # the smallest PNG: one transparent pixel
    "89504e470d0a1a0a0000000d4948445200000001000000010804000000b51c0c020000000b4944415478da6364f80f00010501012718e366"
    "0000000049454e44ae426082"
)
HOSTILE = [
    "<script>document.title='obeyed'</script>",
    '"><img src=x onerror="document.title=1">',
    "'onmouseover='x",
    "{{ 7 * 7 }} {% raw %}",
    "</code></article></main><h1>gone</h1>",
    "https://evil.example/?q=<b>",
    "&lt;i&gt;",
    "javascript:alert(1)",
]


def incidents(texts: list[str], **columns: object) -> pd.DataFrame:
    """One incident for each text, which stands in every column of words."""
    count = len(texts)
    words = ("title", "pattern", "technique", "source", "destinations", "services", "reasons", "display_filter")
    table = pd.DataFrame(
        {
            "incident_id": [f"I{i + 1:04d}" for i in range(count)],
            "start": [START + i * SECOND for i in range(count)],
            "detected": [START + i * SECOND for i in range(count)],
            "end": [START + (i + 5) * SECOND for i in range(count)],
            **{name: pd.Categorical(texts) if len(set(texts)) == count else texts for name in words},
            "severity": [tables.SEVERITIES[min(4 * i // max(count, 1), 3)] for i in range(count)],
            "score": [0.99] * count,
            "packets": [1234] * count,
            "bytes": [5_600_000] * count,
        }
    )
    return table.assign(**columns)


def details(text: str) -> dict[str, Any]:
    """What incidents.json has beyond the row: `text` wherever text stands."""
    numbers = {"value": 7736.0, "usual_low": 0.0, "usual_high": 2.9, "spreads": 16.2, "share": 0.104, "window_s": 60}
    first = {"feature": "source_flows_count", "words": text, "unit": ""} | numbers
    novel = {
        "feature": "novelty_service_ratio",
        "words": text,
        "unit": "",
        "value": None,
        "share": 0.05,
        "window_s": 10,
    }
    evidence = {"half_open": 7736, "where": text}
    return {"evidence": evidence, "explanation": [first, novel], "normal": text, "community_ids": [text]}


def page(table: pd.DataFrame, text: str = "words", picture: bytes = PIXEL) -> str:
    looks = dict.fromkeys(figures.LOOKS, picture)
    return report.page(
        dict.fromkeys([*report.FOUND, *report.SEEN], looks),
        table,
        {str(identifier): details(text) for identifier in table["incident_id"]},
        subject=text,
        about=report.Facts([("Time", text), (text, "value")], False, [text], [(text, [(text, text)])]),
        new=notices([text]),
    )


def notices(texts: list[str]) -> pd.DataFrame:
    words = dict.fromkeys(("pattern", "technique", "severity", "source", "what", "title"), pd.Categorical(texts))
    return pd.DataFrame({"start": START, "end": START, "count": 1, **words})


class Reader(HTMLParser):
    """Elements, attributes and the text of a page."""

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str, str]] = []
        self.text = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(tag, name, value or "") for name, value in attrs]

    def handle_data(self, data: str) -> None:
        self.text += data


def test_the_page_fetches_nothing_and_runs_nothing() -> None:
    html = page(incidents(HOSTILE))
    read = Reader(html)
    assert "script" not in read.tags and "link" not in read.tags and "iframe" not in read.tags
    for tag, name, value in read.attributes:
        assert not name.startswith("on"), f"<{tag} {name}>"
        if name in ("src", "srcset"):
            assert value.startswith("data:image/png;base64,"), f"<{tag} {name}={value[:60]}>"
        if name == "href":
            assert value.startswith("#"), f"<{tag} {name}={value[:60]}>"
    assert "url(" not in html and "@import" not in html
    assert ("meta", "http-equiv", "Content-Security-Policy") in read.attributes


@pytest.mark.parametrize("text", HOSTILE)
def test_text_from_the_network_stays_text(text: str) -> None:
    plain, hostile = Reader(page(incidents(["words"]), "words")), Reader(page(incidents([text]), text))
    assert hostile.tags == plain.tags, "it made or closed an element"
    assert [(tag, name) for tag, name, _ in hostile.attributes] == [(tag, name) for tag, name, _ in plain.attributes]
    assert hostile.text.count(text) >= 8, "it is not shown as it is"


def test_the_first_page_names_the_worst_incidents_and_how_many_there_are() -> None:
    table = incidents([f"host {i} did it" for i in range(12)])
    text = Reader(page(table)).text
    first = text[: text.index("What was looked at")]
    assert "Who did it" in first and "Next: " in first
    assert "12 incidents: 3 critical, 3 high, 3 medium, 3 low" in first
    assert [f"host {i} did it" in first for i in range(12)] == [True] * report.IN_SUMMARY + [False] * 7
    assert "7 more" in " ".join(first.split())


def test_each_incident_says_when_who_to_whom_why_and_how_to_find_its_packets() -> None:
    table = incidents(
        ["x"],
        title="10.0.0.1 scanned 1,000 TCP ports",
        source="10.0.0.1",
        destinations=" ".join(f"10.0.1.{i}" for i in range(20)),
        services="TCP/80 TCP/443",
        technique="T1046",
        pattern="port_scan",
        display_filter="ip.addr == 10.0.0.1",
    )
    html = page(table, "connections")
    text = " ".join(Reader(html).text.split())
    for words in (
        "04:08:07 to 04:08:12 UTC (5 s)",
        "10.0.1.7 and 12 more",
        "TCP/80, TCP/443",
        "1,234 packets, 5.6 MB",
        "port scan, ATT&CK T1046",
        "7,736 connections half open, listed in connections",
        "connections7,736up to 2 in 60 s10%",
        "What would have been normal connections",
    ):
        assert words in text, words
    assert "<code>ip.addr == 10.0.0.1</code>" in html and "user-select: all" in html
    assert "The evidence" not in page(table.assign(pattern="unusual_behaviour"))


def test_no_incident_is_said_in_words() -> None:
    text = " ".join(Reader(page(incidents([]))).text.split())
    assert "No incidents" in text and "Nothing in this traffic was unusual enough to be an incident." in text


def test_thousands_of_incidents_make_a_page_that_can_be_sent() -> None:
    html = page(incidents([f"host {i} " + "x" * 300 for i in range(5000)]), picture=b"\x00" * 60_000)
    assert len(html) < 5_000_000
    left = 5000 - report.IN_DETAIL - report.IN_BRIEF
    assert f"{left:,} more, less severe, stand in incidents.csv." in html


def test_empty_cells_leave_their_line_out() -> None:
    table = incidents(["x"], technique=pd.Categorical([None]), services=pd.Categorical([None]))
    text = Reader(page(table)).text
    assert "nan" not in text.lower().replace("finance", "") and "Services" not in text and "ATT&CK" not in text


def test_every_link_on_the_page_leads_somewhere() -> None:
    read = Reader(page(incidents([f"host {i}" for i in range(300)])))
    anchors = {value for _, name, value in read.attributes if name == "id"}
    for _, name, value in read.attributes:
        if name == "href":
            assert value[1:] in anchors, value


def summary(**health: object) -> dict[str, Any]:
    """What detect.py sums up of a small capture."""
    made = traffic.TrafficStatistics().summary()
    return made | {
        "start": "2026-11-21T04:08:07.000000000Z",
        "end": "2026-11-21T04:20:40.000000000Z",
        "packets": 300_946,
        "bytes": 175_677_461,
        "health": made["health"] | {"status": "ok", "reasons": [], "kernel_drops": 0} | health,
        "detection": {
            "anomalous_packets": 60_189,
            "anomalous_packets_ratio": 0.2,
            "window_lengths_s": [10, 60],
            "notices": {},
            "window_lengths_without_model_s": [],
        },
        "model": {
            "baseline_start": "2026-11-20T04:00:00.000000000Z",
            "baseline_end": "2026-11-20T06:00:00.000000000Z",
            "promise": "",
        },
    }


def test_the_summary_is_told_in_words() -> None:
    about = report.facts(summary())
    assert dict(about.looked_at) == {
        "Time": "2026-11-21 04:08:07 to 04:20:40 UTC (12.6 min)",
        "Packets": "300,946 (176 MB)",
        "Anomalous": "60,189 packets (20.00%)",
        "Addresses": "0",
        "Compared with": "traffic of 2026-11-20 04:00:00 to 06:00:00 UTC (2 h)",
        "In windows of": "10 s, 60 s",
    }
    assert about.sound and about.health == []


def test_what_is_doubtful_is_said() -> None:
    doubtful = summary(
        status="degraded", reasons=["the kernel lost 7 packets, which nobody has seen"], kernel_drops=None
    )
    doubtful["detection"]["window_lengths_without_model_s"] = [600]
    doubtful["model"]["promise"] = "an hour of baseline promises little"
    about = report.facts(doubtful)
    assert not about.sound
    assert about.health == [
        "The kernel lost 7 packets, which nobody has seen.",
        "The baseline is too short for windows of 600 s: slow behaviour is harder to see.",
        "An hour of baseline promises little.",
        "Nobody counted the packets that the capture may have lost.",
    ]


# ---------------------------------------------------------------- in a real browser


def chromium(tmp_path: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    program = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if not program:
        pytest.skip("needs chromium (apt-get install chromium)")
    switches = [
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-quic",
        "--no-first-run",
        "--disable-extensions",
        "--disable-sync",
        "--disable-background-networking",
        "--disable-component-update",
        "--hide-scrollbars",
        "--enable-logging=stderr",
        "--allow-file-access-from-files",
    ]
    switches += ["--host-resolver-rules=MAP * ~NOTFOUND", f"--user-data-dir={tmp_path / 'profile'}"]
    return subprocess.run(
        [program, *switches, *arguments], capture_output=True, text=True, timeout=120, env=os.environ, check=False
    )


def test_a_browser_shows_it_without_an_error(tmp_path: Path) -> None:
    html, shot = tmp_path / "report.html", tmp_path / "shot.png"
    html.write_text(page(incidents(HOSTILE), HOSTILE[0]), "utf-8")
    done = chromium(tmp_path, "--window-size=1280,1600", f"--screenshot={shot}", html.as_uri())
    assert shot.exists() and shot.stat().st_size > 20_000, done.stderr
    assert "CONSOLE" not in done.stderr, re.findall(".*CONSOLE.*", done.stderr)


def test_the_summary_fits_one_printed_page(tmp_path: Path) -> None:
    if not browser.there():
        pytest.skip(browser.MISSING)
    kinds = ["arp_spoofing", "syn_flood", "dns_tunnel", "port_sweep", "slow_http", "beacon"] * 4
    titles = [
        f"192.168.37.{i % 5} flooded TCP/443 of 192.168.37.178 with 7,736 half-open connections" for i in range(24)
    ]
    table = incidents(titles, pattern=pd.Categorical(kinds), source=[f"192.168.37.{i % 5}" for i in range(24)])
    table = table.assign(destinations="192.168.37.178 192.168.37.145 192.168.37.107 172.21.243.70 192.168.37.1")
    doubts = ["5 minutes of held-out baseline cannot promise fewer than 886 false incidents a day."] * 3
    looked_at = report.facts(summary()).looked_at
    html = report.page(
        {},
        table,
        {name: details("words") for name in table["incident_id"]},
        subject="captured_data.csv, 2026-11-21 04:08:07 to 04:20:40 UTC (12.6 min)",
        about=report.Facts(looked_at, True, doubts, []),
        new=notices(["words"]),
    )
    (tmp_path / "report.html").write_text(html, "utf-8")
    reader = browser.Browser(tmp_path, 718, 1043)  # A4 with margins of 1 cm, in CSS pixels
    try:
        reader.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print"})
        reader.open((tmp_path / "report.html").as_uri(), "Made by netnormal")
        end = reader.run("return document.querySelector('[aria-label=Summary]').getBoundingClientRect().bottom")
        assert 500 < end <= 1043
        assert "Who did it" in reader.text() and "How to read this" in reader.text()
        assert not reader.run("return document.querySelector('header nav').offsetHeight"), "links lead nowhere on paper"
    finally:
        reader.close()


def test_in_a_browser_nothing_runs_nothing_is_fetched_and_nothing_overflows_a_phone(tmp_path: Path) -> None:
    (tmp_path / "report.html").write_text(page(incidents([*HOSTILE, "w" * 500]), HOSTILE[1]), "utf-8")
    (tmp_path / "phone.html").write_text(
        '<iframe id="f" src="report.html" style="width:400px;height:800px"></iframe><pre id="said"></pre><script>'
        "onload = () => { const d = f.contentDocument; said.textContent = JSON.stringify({title: d.title,"
        " asked: f.contentWindow.performance.getEntriesByType('resource').map(e => e.name),"
        " width: d.documentElement.scrollWidth,"
        " images: [...d.images].filter(i => i.naturalWidth > 0).length }) }</script>",
        "utf-8",
    )
    done = chromium(tmp_path, "--virtual-time-budget=5000", "--dump-dom", (tmp_path / "phone.html").as_uri())
    found = re.search(r'<pre id="said">(.*?)</pre>', done.stdout)
    assert found, done.stderr
    said = json.loads(found.group(1).replace("&amp;", "&").replace("&lt;", "<").replace("&gt;", ">"))
    assert said["title"].startswith("netnormal: 9 incidents")
    assert said["images"] == len(report.FOUND) + len(report.SEEN)
    assert [url for url in said["asked"] if not url.startswith("data:")] == []
    assert said["width"] <= 400, "the page is wider than the phone"
