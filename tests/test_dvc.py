"""`dvc repro` as a user meets it: in a fresh clone, twice, and after each kind of change."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from netnormal import frames, tables

ROOT = Path(__file__).resolve().parent.parent
pytestmark = pytest.mark.xdist_group("dvc")  # one process, so that the clone is made once
STAGES = ["extract_features", "train_model", "detect", "visualize"]
SECONDS = 100  # of the sample's baseline: enough for the model of the shortest window


def run(folder: Path, *words: object, fails: bool = False) -> str:
    """What a command printed, both streams. The first `python` it finds is ours; whatever it sends is refused."""
    nowhere = "http://127.0.0.1:9"
    done = subprocess.run(
        [str(word) for word in words],
        cwd=folder,
        env=os.environ
        | {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
        | {"DVC_SITE_CACHE_DIR": str(folder / ".dvc" / "tmp" / "site"), "COLUMNS": "200"}
        | {"HTTP_PROXY": nowhere, "HTTPS_PROXY": nowhere, "http_proxy": nowhere, "https_proxy": nowhere},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=300,
        check=False,
    )
    assert (done.returncode != 0) == fails, done.stdout
    return done.stdout


def dvc(folder: Path, *words: object, fails: bool = False) -> str:
    return run(folder, sys.executable, "-m", "dvc", *words, fails=fails)


def repro(folder: Path) -> list[str]:
    """The stages that `dvc repro` ran, in order."""
    return re.findall(r"Running stage '([^']+)'", dvc(folder, "repro"))


def commit(folder: Path) -> None:
    run(folder, "git", "add", "-A")
    run(folder, "git", "-c", "user.name=test", "-c", "user.email=test@localhost", "commit", "-qm", "test")


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text("utf-8")
    assert text.count(old) == 1, f"{old!r} is {text.count(old)} times in {path}"
    path.write_text(text.replace(old, new), "utf-8")


def packet_csv(source: Path, target: Path, seconds: float) -> None:
    """The first seconds of a capture as packet table, by capture.py."""
    with frames.open_capture(source) as capture, frames.PcapWriter(target.with_suffix(".cut"), 1, 65_535) as out:
        for block in capture:
            out.append(block.select(block.time < block.time[0] + seconds * 1e9))
            break
    folder = target.parent.parent
    run(folder, sys.executable, "capture.py", "--read", target.with_suffix(".cut"), "--output", target)
    target.with_suffix(".cut").unlink()


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The project as it lies here, tracked or not, without what .gitignore names; a git repository with one commit."""
    folder = tmp_path_factory.mktemp("clone") / "netnormal"
    listed = run(ROOT, "git", "-c", "safe.directory=*", "ls-files", "-co", "--exclude-standard", "-z").split("\0")
    for name in listed:
        if name and (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name)
    (folder / "dvc.lock").unlink(missing_ok=True)
    run(folder, "git", "init", "-q")
    commit(folder)
    return folder


@pytest.fixture(scope="module")
def made(clone: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[str]]:
    """A clone after its first `dvc repro`, and the stages that ran."""
    folder = tmp_path_factory.mktemp("made") / "netnormal"
    shutil.copytree(clone, folder)
    packet_csv(folder / "dataset" / "sample" / "baseline.pcap.gz", folder / "dataset" / "captured_data.csv", SECONDS)
    return folder, repro(folder)


@pytest.fixture
def pipeline(made: tuple[Path, list[str]], tmp_path: Path) -> Path:
    """A copy of it to change."""
    return Path(shutil.copytree(made[0], tmp_path / "netnormal"))


def test_without_a_capture_the_failure_names_the_file_that_is_missing(clone):
    said = dvc(clone, "repro", fails=True)
    assert "extract_features" in said
    assert "dataset/captured_data.csv" in said
    assert "Traceback" not in said
    direct = run(clone, sys.executable, "extract_features.py", fails=True)
    assert "dataset/captured_data.csv" in direct
    assert "python capture.py" in direct


def test_the_first_run_makes_everything_in_order_and_git_sees_only_the_lock_file(made):
    folder, ran = made
    assert ran == STAGES
    for name in ("results/incidents.csv", "results/report.html", "models/model_card.json"):
        assert (folder / name).stat().st_size > 0
    assert run(folder, "git", "status", "--short") == "?? dvc.lock\n"


def test_nothing_runs_again_when_nothing_changed(pipeline):
    assert repro(pipeline) == []
    assert "up to date" in dvc(pipeline, "status")


def test_a_changed_capture_reruns_all(pipeline):
    capture = pipeline / "dataset" / "captured_data.csv"
    tables.write(capture, tables.PACKETS, tables.read(capture, tables.PACKETS).iloc[:-50])
    assert repro(pipeline) == STAGES


def test_a_changed_training_parameter_extracts_nothing_again(pipeline):
    edit(pipeline / "params.yaml", "  seed: 1 ", "  seed: 2 ")
    ran = repro(pipeline)
    assert ran[:2] == ["train_model", "detect"]
    assert "extract_features" not in ran


def test_a_changed_module_reruns_the_stages_that_import_it(pipeline):
    with (pipeline / "netnormal" / "model" / "forest.py").open("a", encoding="utf-8") as module:
        module.write("\n# changed\n")
    assert repro(pipeline) == ["train_model", "detect"]  # and what they write did not change


def test_a_changed_template_reruns_the_report_alone(pipeline):
    with (pipeline / "netnormal" / "report.html.j2").open("a", encoding="utf-8") as template:
        template.write("\n")
    assert repro(pipeline) == ["visualize"]


def test_labels_named_in_params_add_the_evaluation_and_its_metrics_and_plots(pipeline):
    commit(pipeline)
    packets = tables.read(pipeline / "dataset" / "captured_data.csv", tables.PACKETS)
    labels = packets[["packet"]].assign(label=["scan" if n % 50 == 0 else "benign" for n in packets["packet"]])
    tables.write(pipeline / "dataset" / "labels.csv", tables.PACKET_LABELS, labels.astype({"label": "category"}))
    edit(pipeline / "params.yaml", "  labels: [] ", "  labels: [dataset/labels.csv] ")
    assert repro(pipeline) == ["evaluate@dataset/labels.csv"]
    edit(pipeline / "params.yaml", "  false_positive_rate: 0.001 ", "  false_positive_rate: 0.01 ")
    assert re.search(r"evaluate\.false_positive_rate\s+0\.001\s+0\.01", dvc(pipeline, "params", "diff"))
    commit(pipeline)
    assert repro(pipeline) == ["evaluate@dataset/labels.csv"]
    changed = dvc(pipeline, "metrics", "diff", "HEAD")  # metrics.json is not in git: the lock file knows it
    assert re.search(r"false_positive_rate\s+0\.001\s+0\.01\s+0\.009", changed), changed
    assert re.search(r"\brecall\s", changed), changed
    dvc(pipeline, "plots", "diff", "HEAD", "--out", "drawn")
    page = (pipeline / "drawn" / "index.html").read_text("utf-8")
    for title in ("Traffic", "ROC", "Precision and recall", "Recall per attack"):
        assert f'"{title}"' in page
    figures = {path.name for folder in ("figures", "evaluation") for path in (pipeline / "results" / folder).iterdir()}
    shown = {path.name for path in (pipeline / "drawn" / "static").iterdir()}
    assert len(figures) == 14 and all(any(name.endswith(figure) for name in shown) for figure in figures)
    assert all(name in page for name in shown)


def test_labels_that_are_not_there_stop_the_evaluation_with_their_name(pipeline):
    edit(pipeline / "params.yaml", "  labels: [] ", "  labels: [dataset/labels.csv] ")
    assert "dataset/labels.csv" in dvc(pipeline, "repro", fails=True)


def test_dvc_reports_nothing_to_anyone(clone):
    for option in ("core.analytics", "core.check_update"):
        assert dvc(clone, "config", option).strip() == "false"
    assert dvc(clone, "remote", "list").strip() in {
        "",
        "No remotes exist. Use the `dvc remote add` command to add one.",
    }


@pytest.mark.root
def test_the_chain_runs_without_any_network(made, tmp_path):
    if subprocess.run(["unshare", "--net", "true"], capture_output=True, check=False).returncode:
        pytest.skip("no right to make a network namespace")
    folder = Path(shutil.copytree(made[0], tmp_path / "netnormal"))
    edit(folder / "params.yaml", "  seed: 1 ", "  seed: 3 ")
    said = run(folder, "unshare", "--net", sys.executable, "-m", "dvc", "repro")
    assert "Running stage 'train_model'" in said
