"""The notebook: it runs as it lies there, from top to bottom, and shows what it says it shows."""

from __future__ import annotations

import shutil
from pathlib import Path

import nbclient
import nbformat
import pytest
from conftest import ROOT

TOUR = ROOT / "notebooks" / "tour.ipynb"


def test_no_outputs_are_kept() -> None:
    """They would go stale; this test runs the tour instead."""
    cells = [cell for cell in nbformat.read(TOUR, 4).cells if cell.cell_type == "code"]
    assert cells and all(cell.outputs == [] and cell.execution_count is None for cell in cells)
    assert max(len(cell.source.splitlines()) for cell in cells) <= 16, "small cells"


def test_every_page_it_names_is_there() -> None:
    words = "".join(cell.source for cell in nbformat.read(TOUR, 4).cells if cell.cell_type == "markdown")
    named = [part.split(")")[0] for part in words.split("](")[1:]]
    assert named and all((TOUR.parent / name).is_file() for name in named)


@pytest.mark.xdist_group("tour")
def test_it_runs_in_a_copy_of_the_project_and_leaves_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MPLBACKEND", "Agg")  # as streamlit leaves it, and many a server's profile: figures show still
    for name in ("netnormal", "notebooks", "dataset/sample"):
        shutil.copytree(ROOT / name, tmp_path / name)  # with what is compiled already
    shutil.copy(ROOT / "params.yaml", tmp_path)
    before = {path for path in tmp_path.rglob("*") if "__pycache__" not in path.parts}
    book = nbformat.read(tmp_path / "notebooks" / "tour.ipynb", 4)
    where = {"metadata": {"path": str(tmp_path / "notebooks")}}
    nbclient.NotebookClient(book, timeout=300, kernel_name="python3", resources=where).execute()
    after = {path for path in tmp_path.rglob("*") if "__pycache__" not in path.parts}
    assert after == before
    shown = [output for cell in book.cells if cell.cell_type == "code" for output in cell.outputs]
    said = "".join(output.text for output in shown if output.output_type == "stream" and output.name == "stdout")
    for words in ("160,903 ordinary packets", "usually up to", "flooded 192.168.37.46", "netnormal   ", "ROC AUC 0.9"):
        assert words in said
    assert sum("image/png" in output.get("data", {}) for output in shown) == 3
