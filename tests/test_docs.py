"""The generated pages say what the code does."""

from __future__ import annotations

import dataclasses
import importlib.util
import re
import subprocess
import sys
from fnmatch import fnmatch
from pathlib import Path
from types import ModuleType

import pytest

from netnormal import advice, tables
from netnormal.patterns import KINDS
from netnormal.settings import Patterns
from netnormal.sinks.eve import SIGNATURES

DOCS = Path(__file__).resolve().parent.parent / "docs"
PAGES = ("features.md", "schemas.md", "database.md")


@pytest.fixture(scope="module")
def make_docs() -> ModuleType:
    spec = importlib.util.spec_from_file_location("make_docs", DOCS / "make_docs.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("page", PAGES)
def test_a_page_is_what_the_code_says(make_docs, page):
    assert (DOCS / page).read_text("utf-8") == make_docs.PAGES[page](), "run  python docs/make_docs.py"


def test_check_passes_on_the_pages_as_committed():
    done = subprocess.run(
        [sys.executable, DOCS / "make_docs.py", "--check"], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_check_tells_a_page_that_is_not_up_to_date(make_docs, tmp_path, monkeypatch):
    (tmp_path / "features.md").write_text("old")
    monkeypatch.setattr(make_docs, "DOCS", tmp_path)
    monkeypatch.setattr(sys, "argv", ["make_docs.py", "--check"])
    with pytest.raises(
        SystemExit, match=r"docs/features\.md is not what the code says: run  python docs/make_docs\.py"
    ):
        make_docs.main()


def test_every_feature_has_a_definition_a_reason_and_a_source():
    page = (DOCS / "features.md").read_text("utf-8")
    for feature in tables.FEATURE_COLUMNS:
        assert f"| `{feature.name}` |" in page
        assert min(map(len, (feature.meaning, feature.why, feature.source))) > 3, feature.name
        assert feature.side in ("high", "both")


def test_every_pattern_and_every_threshold_is_told_and_every_pattern_has_advice_and_a_signature():
    page = (DOCS / "patterns.md").read_text("utf-8")
    told = set(re.findall(r"`(\w+\*?)`", page))
    for pattern, (technique, severity, _) in KINDS.items():
        (line,) = [line for line in page.splitlines() if line.startswith("|") and f"`{pattern}`" in line.split("|")[1]]
        assert f" {technique} " in line and severity in line.split("|")[5], pattern
        if severity != "info":  # notices are no incidents: nobody is told what to do, and no other tool of them
            assert pattern in advice._ADVICE and pattern in SIGNATURES, pattern
    for field in dataclasses.fields(Patterns):
        assert any(fnmatch(field.name, name) for name in told), field.name


def test_every_column_of_every_file_is_told():
    page = (DOCS / "schemas.md").read_text("utf-8")
    for schema in tables.SCHEMAS:
        assert f"\n## {schema.name}\n" in page
        for column in schema:
            assert column in tables.FEATURE_COLUMNS or f"| `{column.name}` |" in page
