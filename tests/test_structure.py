"""The house stands as drawn: who imports whom, and dvc.yaml names all that a stage's result depends on."""

from __future__ import annotations

import ast
import dataclasses
import re
from graphlib import TopologicalSorter
from pathlib import Path

import pytest
import structure
import yaml
from structure import PACKAGE, ROOT

from netnormal import settings

# Room → rooms that it may import. A new room gets its line here, and one in docs/architecture.md.
MAY_IMPORT = {
    "kernels": set(),
    "tables": {"kernels"},
    "settings": set(),
    "stage": {"settings", "tables"},
    "frames": {"kernels", "tables"},
    "live": {"frames", "kernels", "tables"},
    "anonymize": {"frames", "kernels", "tables"},
    "earlier": {"frames", "manifest", "tables"},
    "interrupts": set(),
    "beside": {"interrupts"},
    "recorder": {"earlier", "frames", "manifest", "packets", "tables", "traffic"},
    "live_table": set(),
    "packets": {"frames", "kernels", "tables"},
    "manifest": {"frames", "kernels", "tables"},
    "plain": set(),
    "quantities": set(),
    "inputs": {"frames", "packets", "tables"},
    "flows": {"kernels", "tables"},
    "features": {"flows", "kernels", "settings", "tables"},
    "known": set(),
    "explanation": set(),
    "community": set(),
    "model": {"explanation", "kernels", "known", "settings", "tables"},
    "patterns": {"flows", "kernels", "known", "settings", "tables"},
    "words": {"explanation", "patterns", "quantities", "tables"},
    "display_filter": {"tables"},
    "threats": {"kernels", "patterns", "tables", "traffic"},
    "notices": {"patterns", "tables", "words"},
    "incidents": {"community", "display_filter", "explanation", "flows", "patterns", "settings", "tables", "words"},
    "detection": {
        "explanation",
        "features",
        "flows",
        "incidents",
        "model",
        "notices",
        "patterns",
        "settings",
        "tables",
        "threats",
        "traffic",
    },
    "follow": {
        "detection",
        "documents",
        "earlier",
        "features",
        "interrupts",
        "model",
        "notices",
        "settings",
        "sinks",
        "suppressions",
        "tables",
        "threats",
        "verdict",
    },
    "evidence": {
        "display_filter",
        "documents",
        "explanation",
        "figures",
        "frames",
        "inputs",
        "packets",
        "patterns",
        "plain",
        "settings",
        "suppressions",
        "tables",
        "words",
    },
    "sinks": {"advice", "plain", "settings", "stage", "suppressions", "tables"},
    "suppressions": {"plain", "tables"},
    "documents": {"tables"},
    "feedback": {"documents", "plain", "tables"},
    "traffic": {"flows", "kernels", "tables"},
    "verdict": {"notices", "plain", "quantities", "tables"},
    "tallies": {"tables", "traffic"},
    "figures": {"quantities", "tables"},
    "report": {"advice", "answers", "explanation", "figures", "notices", "patterns", "quantities", "tables", "words"},
    "evaluation": {"tables"},
    "labels": {"plain", "tables"},
    "trivial": {"tables"},
    "advice": set(),
    "answers": {"patterns", "tables"},
    "dashboard": {
        "advice",
        "answers",
        "documents",
        "explanation",
        "feedback",
        "figures",
        "flows",
        "frames",
        "inputs",
        "known",
        "model",
        "patterns",
        "plain",
        "quantities",
        "suppressions",
        "tables",
        "tallies",
        "words",
    },
}
MODULES = sorted(PACKAGE.rglob("*.py"))
SCRIPTS = sorted(path for path in ROOT.glob("*.py"))
STAGES = sorted(structure.stages())


def room(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def rooms_imported(path: Path) -> set[str]:
    return {room(other) for other in structure.imports(path)} - {"__init__", room(path)}


def outside_names(path: Path) -> set[str]:
    """First words of the modules that a file imports from elsewhere."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found.add(str(node.module).split(".")[0])
    return found


@pytest.mark.parametrize("module", MODULES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_a_room_imports_only_what_the_plan_allows(module):
    if module == PACKAGE / "__init__.py":
        assert structure.imports(module) == set()
        return
    assert room(module) in MAY_IMPORT, "a new room: give it a line in MAY_IMPORT and in docs/architecture.md"
    assert rooms_imported(module) - MAY_IMPORT[room(module)] == set()


def test_rooms_do_not_import_in_circles():
    assert set(TopologicalSorter(MAY_IMPORT).static_order()) >= {room(m) for m in MODULES if m.parent == PACKAGE} - {
        "__init__"
    }


def test_kernels_know_neither_pandas_nor_the_rest_and_nothing_is_compiled_elsewhere():
    for module in MODULES:
        known = outside_names(module)
        if room(module) == "kernels" and module.name != "__init__.py":  # which says where compiled code is kept
            assert known <= {"__future__", "numba", "numpy", "math", PACKAGE.name}, module
        else:
            assert "njit" not in module.read_text("utf-8"), module


def test_rooms_do_not_parse_command_lines_and_only_the_dashboard_knows_streamlit():
    for module in MODULES:
        assert "argparse" not in outside_names(module) or room(module) == "stage", module
        assert "streamlit" not in outside_names(module) or room(module) == "dashboard", module
    for script in SCRIPTS:
        assert "streamlit" not in outside_names(script) or script.name == "dashboard.py", script


def test_only_evaluate_reads_labels():
    for path in [*SCRIPTS, *MODULES]:
        text = path.read_text("utf-8")
        reads = any(
            f"tables.{name}" in text.replace(f"of tables.{name}", "") for name in ("PACKET_LABELS", "INTERVAL_LABELS")
        )
        assert not reads or path.name in {"evaluate.py", "evaluation.py", "labels.py"}, path


# ---------------------------------------------------------------- dvc.yaml


@pytest.mark.parametrize("name", STAGES)
def test_the_deps_of_a_stage_are_its_script_and_all_that_it_imports(name):
    stage = structure.stages()[name]
    listed = [dep for dep in stage["deps"] if structure.is_code(dep)]
    assert listed == structure.code_deps(stage), "run  python tests/structure.py"


def test_the_closure_holds_what_is_imported_indirectly_and_a_rooms_template():
    closure = {path.relative_to(ROOT).as_posix() for path in structure.closure(ROOT / "visualize.py")}
    assert {"visualize.py", "netnormal/__init__.py", "netnormal/report.py", "netnormal/report.html.j2"} <= closure
    assert "netnormal/kernels/decode.py" in closure  # through inputs and packets
    assert "netnormal/features.py" not in closure


def sections_read(script: Path) -> set[str]:
    """The sections that a script takes out of `args.settings`, or a room that it hands all settings to."""
    names = {field.name for field in dataclasses.fields(settings.Settings)}
    found: set[str] = set()
    for path in structure.closure(script):
        if path != script and ": Settings" not in (path.read_text("utf-8") if path.suffix == ".py" else ""):
            continue
        tree = ast.parse(path.read_text("utf-8"))
        whole = {"args.settings"} if path == script else {"settings"}
        for node in ast.walk(tree):
            if isinstance(node, ast.Assign) and path == script:
                target, value = node.targets[0], node.value
                both = isinstance(target, ast.Tuple) and isinstance(value, ast.Tuple)
                pairs = zip(target.elts, value.elts, strict=True) if both else [(target, value)]
                whole |= {ast.unparse(name) for name, given in pairs if ast.unparse(given) == "args.settings"}
        attributes = [node for node in ast.walk(tree) if isinstance(node, ast.Attribute) and node.attr in names]
        found |= {node.attr for node in attributes if ast.unparse(node.value) in whole}
    return found


@pytest.mark.parametrize("name", STAGES)
def test_the_params_of_a_stage_are_the_sections_that_its_script_reads(name):
    stage = structure.stages()[name]
    named = {param.split(".")[0] for param in stage["params"]}
    assert named == sections_read(structure.script_of(stage))


def test_params_and_stages_stand_in_the_same_order():
    params = list(yaml.safe_load((ROOT / "params.yaml").read_text("utf-8")))
    assert params == [field.name for field in dataclasses.fields(settings.Settings)]
    stages = list(structure.stages())
    assert [name for name in params if name in stages] == stages
    assert set(params) - set(stages) == {"capture"}  # outside the chain: its input is the network


def test_every_output_lies_where_git_ignores_it_and_is_made_once():
    entries = [e for stage in structure.stages().values() for e in stage.get("outs", []) + stage.get("metrics", [])]
    outputs = [entry if isinstance(entry, str) else next(iter(entry)) for entry in entries]
    assert len(outputs) == len(set(outputs))
    assert {Path(output).parts[0] for output in outputs} == {"dataset", "models", "results"}


def test_ci_and_readme_run_the_same_tests():
    command = "ruff check && ruff format --check && mypy && pytest -n 2 --dist loadgroup"
    assert command in (ROOT / ".ci" / "run").read_text("utf-8")
    assert command in (ROOT / "README.md").read_text("utf-8")


def test_locks_hold_every_declared_dependency_and_name_no_server():
    import tomllib

    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    for name, wanted in (
        ("requirements.txt", project["dependencies"]),
        ("requirements-dev.txt", project["dependencies"] + project["optional-dependencies"]["dev"]),
    ):
        text = (ROOT / name).read_text("utf-8")
        pins = {line.split("==")[0] for line in text.splitlines() if "==" in line}
        for requirement in wanted:
            assert re.split(r"[\[>=]", requirement)[0].lower() in pins, f"{name}: {requirement}"
        assert "://" not in text
        assert "--" not in "".join(line for line in text.splitlines() if not line.startswith("#"))
