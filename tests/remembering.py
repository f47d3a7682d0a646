"""What patterns that remember earlier windows find, window by window."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from packets import table

from netnormal import features, settings
from netnormal.flows import flows
from netnormal.known import Known
from netnormal.patterns import Finding, find

ALL = settings.load(Path(__file__).parent.parent / "params.yaml")
SETTINGS = ALL.detect.patterns


def windows_find(
    rows: list[dict],
    window_s: int,
    memory: Callable[[Any], Any],
    name: str,
    known: Known | None = None,
    restarts: bool = False,
) -> list[Finding]:
    """What `patterns.find` finds in the windows of one length, one after the other. memory: the class that is its
    argument `name`; with `restarts` it goes on from its state, as JSON has it, each time."""
    windower = features.Windower(ALL.extract_features)
    remembered, found = memory(SETTINGS), []
    for window in windower.push(table(sorted(rows, key=lambda row: row["time"]))) + windower.flush():
        if window.window_s == window_s:
            if restarts:
                state = json.loads(json.dumps(remembered.state()))
                remembered = memory(SETTINGS)
                remembered.restore(state)
            found += find(window.packets, *flows(window.packets), SETTINGS, window_s, known, **{name: remembered})
    return found
