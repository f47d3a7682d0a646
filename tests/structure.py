"""Who imports whom, read from the code; and dvc.yaml's `deps`, kept equal to it.

python tests/structure.py        writes the deps anew, after an import was added or removed
"""

from __future__ import annotations

import ast
import re
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "netnormal"


def imports(path: Path) -> set[Path]:
    """The files of this project that `path` imports directly: modules, and the packages they lie in."""
    found: set[Path] = set()
    tree = ast.parse(path.read_text("utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                found |= files_of(alias.name)
        elif isinstance(node, ast.ImportFrom):
            if node.level:
                raise AssertionError(f"{path}: relative import; write it with the package's name")
            for alias in node.names:
                found |= files_of(f"{node.module}.{alias.name}") or files_of(node.module or "")
    return found - {path}


def files_of(name: str) -> set[Path]:
    """The file of a module of this project and the __init__.py above it; empty for other names."""
    parts = name.split(".")
    if parts[0] != PACKAGE.name:
        return set()
    place = ROOT.joinpath(*parts)
    inits = {ROOT.joinpath(*parts[:i], "__init__.py") for i in range(1, len(parts) + 1)}
    if place.is_dir():
        return inits
    if place.with_suffix(".py").is_file():
        return {place.with_suffix(".py"), *(init for init in inits if init.is_file())}
    return set()


def closure(script: Path) -> set[Path]:
    """`script`, all it imports of this project, and the files that those read as their own (a room's template)."""
    seen, waiting = {script}, [script]
    while waiting:
        for path in imports(waiting.pop()) - seen:
            seen.add(path)
            waiting.append(path)
    return seen | {own for path in seen for own in resources(path)}


def resources(path: Path) -> set[Path]:
    """Files beside a module that carry its name: report.html.j2 belongs to report.py."""
    return {p for p in path.parent.glob(f"{path.stem}.*") if p.suffix not in {".py", ".pyi"} and PACKAGE in p.parents}


def script_of(stage: dict) -> Path:
    """The stage's script: the first word ending in .py in its command."""
    return ROOT / next(word for word in stage["cmd"].split() if word.endswith(".py"))


def code_deps(stage: dict) -> list[str]:
    """What belongs into the stage's `deps` as code, in order."""
    script = script_of(stage)
    rest = sorted(path.relative_to(ROOT).as_posix() for path in closure(script) - {script})
    return [script.relative_to(ROOT).as_posix(), *rest]


def stages() -> dict[str, dict]:
    """The stages of dvc.yaml by name; of a templated one its `do`."""
    document = yaml.safe_load((ROOT / "dvc.yaml").read_text("utf-8"))
    return {name: stage.get("do", stage) for name, stage in document["stages"].items()}


def is_code(dep: str) -> bool:
    return dep.endswith(".py") or dep.startswith(f"{PACKAGE.name}/")


def rewrite() -> None:
    """Put the code deps of every stage into dvc.yaml, and leave everything else in it as it is."""
    lines, output, stage = (ROOT / "dvc.yaml").read_text("utf-8").splitlines(), [], ""
    known = stages()
    for line in lines:
        name = re.fullmatch(r"  (\w+):", line)
        stage = name[1] if name else stage
        dep = re.fullmatch(r"\s+- (\S+)", line)
        if dep and is_code(dep[1]):
            continue
        output.append(line)
        if line.strip() == "deps:":
            indent = " " * (len(line) - len(line.lstrip()))
            output.extend(f"{indent}- {path}" for path in code_deps(known[stage]))
    (ROOT / "dvc.yaml").write_text("\n".join(output) + "\n", "utf-8")


if __name__ == "__main__":
    rewrite()
