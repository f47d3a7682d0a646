"""What the tests of the dashboard share: an incident to change, and a project folder with nothing but hostile words."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pandas as pd
from conftest import ROOT
from packets import table, tcp, udp

from netnormal import tables

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


def hostile(folder: Path, models: Path) -> None:
    """A capture and results in `folder` with words that want to be more than words wherever text is not ours."""
    end = {"src_mac": f"{HOSTILE} m", "dst_mac": HOSTILE, "dns_query": HOSTILE, "server_name": f"={HOSTILE}"}
    rows = [
        tcp(number, HOSTILE if number % 2 else "10.0.0.1", "10.0.0.2", 40_000 + number, 443, flags, 20, **end)
        for number, flags in enumerate(["S", "SA", "A", "PA"] * 5)
    ]
    rows += [udp(21, "10.0.0.1", HOSTILE, 5353, 53, protocol=HOSTILE, **end)]
    packets = table(rows)
    shutil.copy(ROOT / "params.yaml", folder)
    tables.write(folder / "dataset" / "captured_data.csv", tables.PACKETS, packets)
    (folder / "dataset" / "captures" / "<b>earlier</b>").mkdir(parents=True)
    shutil.copy(folder / "dataset" / "captured_data.csv", folder / "dataset" / "captures" / "<b>earlier</b>")
    start, last = (tables.iso(int(packets["time"].iloc[at])) for at in (0, -1))
    words = ("title", "pattern", "technique", "source", "reasons", "display_filter", "normal")
    reason = {"feature": HOSTILE, "words": HOSTILE, "value": 9, "usual_low": 0, "usual_high": 1, "unit": HOSTILE}
    reason |= {"spreads": 3, "share": 0.5, "window_s": 10}
    lists = {name: [HOSTILE] for name in ("destinations", "services", "community_ids")}
    more = {"evidence": {HOSTILE: HOSTILE}, "explanation": [reason], "start": start, "end": last}
    one = document(**dict.fromkeys(words, HOSTILE), **lists, **more)
    results = folder / "results"
    tables.write_json(results / "incidents.json", [one])
    health = {"status": HOSTILE, "reasons": [HOSTILE], "kernel_drops": HOSTILE}
    tables.write_json(results / "summary.json", {"start": start, "packets": len(packets), "health": health})
    notice = {column.name: [HOSTILE if column.kind == "text" else 1] for column in tables.NOTICES}
    tables.write(results / "notices.csv", tables.NOTICES, pd.DataFrame(notice))
    numbers = dict.fromkeys(("roc_auc", "recall", "attacks", "attacks_found", "median_time_to_detect_s"), HOSTILE)
    tables.write_json(results / "metrics.json", numbers | {"recall_per_attack": {HOSTILE: 0.5}})
    card = json.loads((models / "model_card.json").read_text())
    card |= {"promise": HOSTILE, "warning": HOSTILE, "left_out": {HOSTILE: HOSTILE}}
    shutil.copytree(models, folder / "models")
    tables.write_json(folder / "models" / "model_card.json", card)
