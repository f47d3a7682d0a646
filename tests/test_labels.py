"""Labels in the forms of other tools, and which packets they are about."""

from __future__ import annotations

import gzip
import json

import pytest
from packets import START, arp, icmp, table, tcp, udp

from netnormal import evaluation, labels, tables

A, B, C = "10.0.0.1", "10.0.0.2", "10.0.0.3"
SECOND = 10**9
BASE = START // SECOND
FIELDS = ["ts", "uid", "id.orig_h", "id.orig_p", "id.resp_h", "id.resp_p", "proto", "duration", "conn_state"]
PACKETS = [
    tcp(1.0, A, B, 40000, 22, "S"),
    tcp(1.5, B, A, 22, 40000, "SA"),
    tcp(9.0, A, B, 40000, 22, "A"),  # after the flow's end, but before another of its ends began
    tcp(20.0, A, B, 40000, 22, "S"),  # another flow of the same ends, benign
    tcp(1.2, A, B, 40001, 22, "S"),
    udp(2.0, A, C, 5353, 53),
    icmp(3.0, A, B, 8),
    icmp(3.1, B, A, 0),
    arp(3.2, A, B, 1),
]
LINES = [
    [f"{BASE + 1}.000000", "C1", A, "40000", B, "22", "tcp", "4.5", "SF"],
    [f"{BASE + 20}.000000", "C2", A, "40000", B, "22", "tcp", "1", "SF"],
    [f"{BASE + 2}.0000009", "C3", A, "5353", C, "53", "udp", "-", "S0"],
    [f"{BASE + 3}.000000", "C4", A, "8", B, "0", "icmp", "0.1", "OTH"],
]
KINDS = ["Malicious", "Benign", "Malicious", "malicious"]
DETAILS = ["SSH-guessing", "-", "-", "ping"]
WANTED = ["SSH-guessing", "SSH-guessing", "SSH-guessing", "benign", "benign", "Malicious", "ping", "ping", "benign"]


def of_packets(path) -> list[str]:
    known = evaluation.truth(labels.read(path), table(PACKETS), {})
    return [known.names[at] if at >= 0 else "benign" for at in known.attack]


def tsv(last: str, rows: list[list[str]], names: list[str]) -> str:
    head = ["#separator \\x09", "#set_separator\t,", "#empty_field\t(empty)", "#unset_field\t-", "#path\tconn"]
    head.append("#fields\t" + "\t".join([*FIELDS, last.join(names)]))
    lines = ["\t".join([*line, last.join(row)]) for line, row in zip(LINES, rows, strict=True)]
    return "\n".join([*head, *lines, "#close\t2026-11-21-04-00-00"]) + "\n"


@pytest.mark.parametrize("between", ["\t", "   "], ids=["as Zeek writes columns", "as IoT-23 adds them"])
def test_a_labelled_conn_log(tmp_path, between):
    rows = [list(pair) for pair in zip(KINDS, DETAILS, strict=True)]
    (tmp_path / "conn.log").write_text(tsv(between, rows, ["label", "detailed-label"]))
    assert of_packets(tmp_path / "conn.log") == WANTED
    with gzip.open(tmp_path / "conn.log.gz", "wb") as out:
        out.write((tmp_path / "conn.log").read_bytes())
    assert of_packets(tmp_path / "conn.log.gz") == WANTED


@pytest.mark.parametrize("form", ["flat", "nested"])
def test_a_labelled_conn_log_as_json(tmp_path, form):
    lines = []
    for cells, kind, detail in zip(LINES, KINDS, DETAILS, strict=True):
        one = dict(zip(FIELDS, cells, strict=True)) | {"label": kind, "detailed-label": detail}
        one |= {"ts": float(one["ts"]), "id.orig_p": int(one["id.orig_p"]), "id.resp_p": int(one["id.resp_p"])}
        if one["duration"] == "-":
            del one["duration"]  # as Zeek leaves out what is not set
        if form == "nested":
            one["id"] = {name.removeprefix("id."): one.pop(name) for name in list(one) if name.startswith("id.")}
            one["ts"] = tables.iso(round(one["ts"] * 10**6) * 1000)  # as its JSON filter can write times
        lines.append(json.dumps(one))
    (tmp_path / "conn.log").write_text("\n".join(lines) + "\n")
    assert of_packets(tmp_path / "conn.log") == WANTED


def event(seconds: float, kind: str, number: int, proto: str, src: tuple, dst: tuple, **more: object) -> str:
    when = tables.iso(START + round(seconds * SECOND))[:26] + "+0000"
    one = {
        "timestamp": when,
        "flow_id": number,
        "event_type": kind,
        "src_ip": src[0],
        "dest_ip": dst[0],
        "proto": proto,
    }
    if len(src) > 1:
        one |= {"src_port": src[1], "dest_port": dst[1]}
    return json.dumps(one | more)


def test_alerts_of_suricata_name_their_flow_by_the_most_severe(tmp_path):
    at = {s: tables.iso(START + s * SECOND)[:26] + "+0000" for s in (1, 2, 5, 6)}
    lines = [
        event(1.5, "alert", 1, "TCP", (B, 22), (A, 40000), alert={"signature": "minor", "severity": 3}),
        event(
            1.6,
            "alert",
            1,
            "TCP",
            (A, 40000),
            (B, 22),
            flow={"start": at[1]},
            alert={"signature": "SSH", "severity": 1},
        ),
        event(1.7, "alert", 1, "TCP", (A, 40000), (B, 22), alert={"signature": "late", "severity": 2}),
        event(6, "flow", 1, "TCP", (A, 40000), (B, 22), flow={"start": at[1], "end": at[5]}),
        event(2, "dns", 2, "UDP", (A, 5353), (C, 53)),
        event(3, "alert", 3, "ICMP", (A,), (B,), icmp_type=8, alert={"signature": "ping", "severity": 2}),
        json.dumps({"timestamp": at[2], "event_type": "stats", "stats": {}}),
    ]
    (tmp_path / "eve.json").write_text("\n".join(lines) + "\n")
    found = of_packets(tmp_path / "eve.json")
    assert found == ["SSH", "SSH", "SSH", "benign", "benign", "benign", "ping", "ping", "benign"]


def test_a_table_by_flow_reads_as_the_others_do(tmp_path):
    path = tmp_path / "labels.csv"
    header = ",".join(tables.FLOW_LABELS.names)
    start, end = tables.iso(START + SECOND), tables.iso(START + 5 * SECOND)
    path.write_text(f"{header}\n{start},{end},TCP,{A},40000,{B},22,guess\n{start},{end},ICMP,{A},,{B},,ping\n")
    assert of_packets(path) == ["guess"] * 3 + ["benign"] * 3 + ["ping"] * 2 + ["benign"]
    path.write_text("packet,label\n1,one\n")
    assert of_packets(path) == ["one"] + ["benign"] * 8


GOOD = tsv("\t", [[kind] for kind in KINDS], ["label"])


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (GOOD.replace("\tlabel", "\tservice"), "has no column label or detailed-label"),
        (GOOD.replace("\tBenign", ""), r":8: has 9 cells, not 10"),
        (GOOD.replace("\t40000\t", "\t70000\t", 1), r":7: is no connection of a conn\.log"),
        (GOOD.replace(A, "host", 1), r":7: is no connection"),
        (GOOD.replace(f"{BASE + 1}.000000", "1e9"), r":7: is no connection"),
        (GOOD[: GOOD.index("\n", GOOD.index("#fields")) + 1], "has no labelled flow"),
        ('{"ts": 1}\n', "has no column label"),
        ('{"event_type": "alert", "src_ip": "1.1.1.1"}\n', r":1: is no event of eve\.json"),
        ('{"event_type": "flow", "flow": 5}\n', r":1: is no event of eve\.json"),
        ('{"event_type": "dns"}\n', "has no labelled flow"),
        ('{"event_type": "dns"}\n[1]\n', ":2: is no JSON object"),
        ('{"event_type": "dns"}\n{\n', ":2: is no JSON"),
        ("[" * 100_000, "is neither"),
        ("x" * (1 << 21), "is a line without end"),
        ("a,b\n1,2\n", "is neither"),
        ("", "is neither"),
    ],
)
def test_what_labels_nothing_is_refused_with_its_line(tmp_path, text, said):
    (tmp_path / "given").write_text(text)
    with pytest.raises(tables.InputError, match=said):
        labels.read(tmp_path / "given")


def test_damaged_gzip_and_a_missing_file_are_said(tmp_path):
    (tmp_path / "conn.log.gz").write_bytes(gzip.compress(GOOD.encode())[:-9])
    with pytest.raises(tables.InputError, match="damaged gzip"):
        labels.read(tmp_path / "conn.log.gz")
    with pytest.raises(tables.InputError, match="does not exist"):
        labels.read(tmp_path / "nothing")
