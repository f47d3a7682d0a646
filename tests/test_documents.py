"""incidents.json is hostile until it is checked."""

from __future__ import annotations

import json

import pytest

from netnormal import documents, tables

FEATURE = {"feature": "f", "words": "w", "value": 1.0, "usual_low": 0.0, "usual_high": 2.0, "unit": "", "spreads": 3.0}
FEATURE |= {"share": 0.5, "window_s": 10}
GOOD = {"incident_id": "I1", "start": "2026", "end": "2026", "detected": "2026", "pattern": "p", "title": "t"}
GOOD |= {"technique": None, "severity": "low", "score": 0.5, "source": "a", "destinations": ["b"], "services": []}
GOOD |= {"packets": 1, "bytes": 2, "reasons": "", "display_filter": "", "evidence": {"n": 1, "m": "x"}, "normal": ""}
GOOD |= {"community_ids": [], "explanation": [FEATURE, FEATURE | {"value": None, "usual_low": None}]}


def test_what_detect_writes_is_read_as_it_is(tmp_path):
    assert set(GOOD) == {*tables.INCIDENTS.names, *tables.DOCUMENT}
    (tmp_path / "incidents.json").write_text(json.dumps([GOOD]))
    assert documents.read(tmp_path / "incidents.json") == [GOOD]


@pytest.mark.parametrize("text", ["{}", "[1]", "[{}]", "nothing", '[{"incident_id": 5}]', "[" * 100_000, "\xff"])
def test_what_holds_something_else_is_refused(tmp_path, text):
    (tmp_path / "incidents.json").write_text(text, "latin-1")
    with pytest.raises(tables.InputError, match=r"python detect\.py"):
        documents.read(tmp_path / "incidents.json")


@pytest.mark.parametrize(
    "changes",
    [
        {"title": 5},
        {"score": float("nan")},
        {"packets": True},
        {"destinations": "b"},
        {"community_ids": [1]},
        {"evidence": {"n": []}},
        {"explanation": [FEATURE | {"usual_high": None}]},
        {"explanation": [{"feature": "f"}]},
    ],
)
def test_a_value_of_another_type_is_refused_with_its_place(tmp_path, changes):
    (tmp_path / "incidents.json").write_text(json.dumps([GOOD, GOOD | changes]))
    with pytest.raises(tables.InputError, match=f"incident 2: `{next(iter(changes))}`"):
        documents.read(tmp_path / "incidents.json")


def test_a_missing_file_is_said(tmp_path):
    with pytest.raises(tables.InputError, match="does not exist"):
        documents.read(tmp_path / "incidents.json")
