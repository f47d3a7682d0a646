"""visualize.py as a user runs it: what it writes, what it says, and what it leaves alone when it fails."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from netnormal import inputs, report, tables, traffic

SECOND = 10**9
START = 1_795_234_087 * SECOND
NAMES = {*report.FOUND, *report.SEEN}
Run = Callable[..., subprocess.CompletedProcess[str]]


def packet_rows(count: int, protocol: str = "TCP", host: str = "10.0.0.") -> pd.DataFrame:
    number = np.arange(count)
    table = pd.DataFrame(
        {
            name: (np.zeros(count, np.int64) - (column.optional)) if column.kind != "text" else [None] * count
            for name, column in ((column.name, column) for column in tables.PACKETS)
        }
    )
    return table.assign(
        packet=number + 1,
        time=START + number * SECOND // 10,
        length=60 + number % 1400,
        captured=60,
        network="IPv4",
        protocol=protocol,
        src_ip=[f"{host}{i % 7}" if i % 2 else "192.0.2.1" for i in number],
        dst_ip=["192.0.2.1" if i % 2 else f"{host}{i % 7}" for i in number],
        src_port=np.where(number % 2, 40_000, 443),
        dst_port=np.where(number % 2, 443, 40_000),
        tcp_flags=np.where(number % 2, "S", "SA"),
    )


def in_memory(rows: pd.DataFrame) -> pd.DataFrame:
    """The table as it would be read from a file."""
    text = [column.name for column in tables.PACKETS if column.kind == "text"]
    return rows.assign(**{name: pd.Categorical(rows[name]) for name in text})


def write_results(
    folder: Path, packets: pd.DataFrame, words: str = "10.0.0.1 scanned 1,000 TCP ports of 192.0.2.1"
) -> None:
    """What detect.py writes for `packets`: every seventh packet anomalous, all in one incident."""
    count = len(packets)
    number = np.arange(count)
    odd = number % 7 == 0
    labels = pd.DataFrame({"packet": number + 1, "score": np.where(odd, 0.97, 0.2)})
    labels["label"] = np.where(odd, "anomalous", "normal")
    labels["incident_id"] = np.where(odd, "I0001", None)
    tables.write(folder / "labelled_packets.csv", tables.LABELLED_PACKETS, labels)
    some = slice(0, min(count, 1))
    incident = {column.name: [words] for column in tables.INCIDENTS if column.kind == "text"}
    incident |= {"incident_id": ["I0001"], "severity": ["high"], "pattern": ["port_scan"], "source": ["10.0.0.1"]}
    incident |= {
        "start": [START],
        "detected": [START],
        "end": [START + SECOND],
        "score": [0.97],
        "packets": [3],
        "bytes": [4],
    }  # type: ignore[dict-item]
    tables.write(folder / "incidents.csv", tables.INCIDENTS, pd.DataFrame(incident).iloc[some])
    beyond = {"evidence": {"where": words}, "explanation": [], "normal": words, "community_ids": []}
    row = {name: values[0] for name, values in incident.items()} | beyond
    row |= {name: tables.iso(START) for name in ("start", "end", "detected")} | {"destinations": [], "services": []}
    tables.write_json(folder / "incidents.json", [row][some])
    plain = {"int": 1, "float": 0.5, "time": START, "text": words}
    anomaly = {column.name: [plain[column.kind]] for column in tables.ANOMALIES}
    anomaly |= {"source": ["10.0.0.1"], "destination": ["192.0.2.1"], "service": ["TCP/443"], "score": [0.97]}
    tables.write(folder / "anomalies.csv", tables.ANOMALIES, pd.DataFrame(anomaly).iloc[some])
    notice = {column.name: [plain[column.kind]] for column in tables.NOTICES}
    tables.write(folder / "notices.csv", tables.NOTICES, pd.DataFrame(notice))
    statistics = traffic.TrafficStatistics()
    statistics.add(in_memory(packets))
    tables.write_json(
        folder / "summary.json",
        statistics.summary()
        | {
            "detection": {
                "anomalous_packets": int(odd.sum()),
                "anomalous_packets_ratio": 0.14,
                "window_lengths_s": [10],
                "notices": {},
                "window_lengths_without_model_s": [60],
            },
            "model": {"baseline_start": tables.iso(0), "baseline_end": tables.iso(START), "promise": ""},
        },
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A project folder with a capture of 300 packets and the results for it."""
    tables.write(tmp_path / "dataset" / "captured_data.csv", tables.PACKETS, packet_rows(300))
    write_results(tmp_path / "results", packet_rows(300))
    return tmp_path


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_it_writes_every_figure_the_plots_and_the_report(folder: Path, run_script: Run) -> None:
    done = run_script("visualize.py")
    assert done.returncode == 0, done.stderr
    assert done.stdout == "10 figures in results/figures; 1 incident: 1 high: open results/report.html\n"
    assert done.stderr == ""
    made = {path.stem: Image.open(path) for path in (folder / "results" / "figures").iterdir()}
    assert set(made) == NAMES
    assert {image.format for image in made.values()} == {"PNG"}
    page = (folder / "results" / "report.html").read_text("utf-8")
    assert page.count("data:image/png;base64,") == 4 * len(NAMES) and "300 (" in page
    assert "10.0.0.1 scanned 1,000 TCP ports of 192.0.2.1" in page
    plot = pd.read_csv(folder / "results" / "plots" / "traffic.csv")
    assert list(plot) == ["time", "packets_per_s", "mbit_per_s"]
    assert plot["packets_per_s"].sum() * 0.5 == pytest.approx(300)


def test_the_same_input_gives_the_same_files_on_any_number_of_processors(folder: Path, run_script: Run) -> None:
    assert run_script("visualize.py", "--jobs", 1).returncode == 0
    first = contents(folder / "results")
    assert run_script("visualize.py", "--jobs", 3).returncode == 0
    assert contents(folder / "results") == first


def test_settings_change_the_figures(folder: Path, run_script: Run) -> None:
    text = (Path(__file__).parent.parent / "params.yaml").read_text("utf-8")
    assert "  dpi: 120 " in text and "  top_hosts: 20 " in text
    (folder / "params.yaml").write_text(text.replace("dpi: 120", "dpi: 60").replace("top_hosts: 20", "top_hosts: 3"))
    assert run_script("visualize.py").returncode == 0
    wide = Image.open(folder / "results" / "figures" / "protocols.png").width
    assert wide == 516
    short, long = (Image.open(folder / "results" / "figures" / f"{n}.png").height for n in ("top_sources", "incidents"))
    assert short < long, "three hosts are no longer than three lanes"


def test_it_reads_the_capture_file_itself_too(tmp_path: Path, run_script: Run, sample: Path) -> None:
    capture = min(sample.glob("*.pcap*"), key=lambda path: path.stat().st_size)
    packets = tables.concat(inputs.packet_blocks(capture))
    count = len(packets)
    write_results(tmp_path / "results", packets)
    done = run_script("visualize.py", "--capture", capture)
    assert done.returncode == 0, done.stderr
    assert f"{count:,} (" in (tmp_path / "results" / "report.html").read_text("utf-8")


@pytest.mark.parametrize("count", [0, 1])
def test_next_to_nothing_is_drawn_too(tmp_path: Path, run_script: Run, count: int) -> None:
    tables.write(tmp_path / "dataset" / "captured_data.csv", tables.PACKETS, packet_rows(count))
    write_results(tmp_path / "results", packet_rows(count))
    done = run_script("visualize.py")
    assert done.returncode == 0, done.stderr
    assert {path.stem for path in (tmp_path / "results" / "figures").iterdir()} == NAMES
    assert ("No incidents" in (tmp_path / "results" / "report.html").read_text("utf-8")) == (count == 0)


def test_hostile_names_in_the_files_are_shown_and_not_obeyed(tmp_path: Path, run_script: Run) -> None:
    words = "<script>alert(1)</script> $\\frac{ {{ 7*7 }}"
    rows = packet_rows(50, protocol="$\\frac{<b>", host=words)
    tables.write(tmp_path / "dataset" / "captured_data.csv", tables.PACKETS, rows)
    write_results(tmp_path / "results", rows, words)
    done = run_script("visualize.py")
    assert done.returncode == 0, done.stderr
    page = (tmp_path / "results" / "report.html").read_text("utf-8")
    assert "<script" not in page and "&lt;script&gt;alert(1)&lt;/script&gt; $\\frac{ {{ 7*7 }}" in page


def damaged(path: Path, how: str) -> None:
    if how == "missing":
        path.unlink()
    elif how == "empty":
        path.write_bytes(b"")
    elif how == "without columns":
        path.write_text("a,b\n1,2\n", "utf-8")
    elif how == "not text":
        path.write_bytes(bytes(range(256)) * 10)
    else:
        lines = path.read_text("utf-8").splitlines()
        path.write_text("\n".join([lines[0], lines[1].replace(lines[1].split(",")[1], "many", 1), *lines[2:]]) + "\n")


HOW = ("missing", "empty", "without columns", "not text", "wrong type")


@pytest.mark.parametrize(
    ("name", "how"),
    [
        *(("dataset/captured_data.csv", how) for how in HOW),
        *(("results/labelled_packets.csv", how) for how in HOW[2:]),
        ("results/incidents.csv", "missing"),
        ("results/incidents.json", "missing"),
        ("results/incidents.json", "not text"),
        ("results/incidents.csv", "wrong type"),
        ("results/anomalies.csv", "empty"),
        ("results/notices.csv", "missing"),
    ],
)
def test_bad_input_is_one_sentence_and_changes_nothing(folder: Path, run_script: Run, name: str, how: str) -> None:
    (folder / "results" / "figures").mkdir()
    (folder / "results" / "figures" / "protocols.png").write_bytes(b"earlier")
    (folder / "results" / "report.html").write_bytes(b"earlier")
    damaged(folder / name, how)
    before = contents(folder / "results")
    done = run_script("visualize.py")
    assert done.returncode == 1
    assert done.stdout == "" and len(done.stderr.splitlines()) == 1, done.stderr
    assert done.stderr.startswith("visualize.py: ") and Path(name).name in done.stderr
    assert done.stderr.count(": ") >= 3, "where, what, and what to do"
    assert contents(folder / "results") == before


def test_a_summary_that_is_missing_or_none_of_packets_is_one_sentence(folder: Path, run_script: Run) -> None:
    path = folder / "results" / "summary.json"
    features_only = '{"detection": {"anomalies": 1}, "model": {}}'
    for text in ("{", "[1]", "{}", features_only, None):
        path.unlink() if text is None else path.write_text(text, "utf-8")
        done = run_script("visualize.py")
        assert done.returncode == 1 and len(done.stderr.splitlines()) == 1
        assert "summary.json" in done.stderr and "python detect.py" in done.stderr


def test_results_of_another_capture_are_refused(folder: Path, run_script: Run) -> None:
    tables.write(folder / "dataset" / "captured_data.csv", tables.PACKETS, packet_rows(299))
    done = run_script("visualize.py")
    assert done.returncode == 1
    assert "labelled_packets.csv: has more packets than the capture: run python detect.py" in done.stderr
    assert not (folder / "results" / "report.html").exists()


def test_an_output_that_cannot_be_written_is_one_sentence(folder: Path, run_script: Run) -> None:
    (folder / "taken").write_text("a file")
    done = run_script("visualize.py", "--output", "taken")
    assert done.returncode == 1 and len(done.stderr.splitlines()) == 1
    assert "cannot be written" in done.stderr
    assert not (folder / "results" / "report.html").exists() and not list(folder.rglob("*.part"))


def test_help_says_what_it_reads_and_writes(run_script: Run) -> None:
    done = run_script("visualize.py", "--help")
    assert done.returncode == 0
    for word in ("labelled_packets.csv", "report.html", "--capture", "--results", "--output", "figures"):
        assert word in done.stdout
