"""Fixtures all tests share: where the data is, and how a stage script is run as a user runs it."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import hypothesis
import pytest

# The first example compiles kernels; speed is measured by benchmarks/, not here.
hypothesis.settings.register_profile("netnormal", deadline=None)
hypothesis.settings.load_profile("netnormal")

# A job in a shell's background ignores Ctrl+C and hands that on; the programs that tests start must hear it.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

ROOT = Path(__file__).resolve().parent.parent
SHARED = ROOT.parent / "shared"
SAMPLE = ROOT / "dataset" / "sample"
_NO_SHARED = "the measuring data is not beside the checkout (../shared)"


@pytest.fixture(scope="session")
def shared() -> Path:
    """../shared, the measuring data; the test is skipped where it is absent, as in a clone of the project alone."""
    if not (SHARED / "data").is_dir():
        pytest.skip(_NO_SHARED)
    return SHARED


@pytest.fixture(scope="session")
def sample() -> Path:
    """dataset/sample, the capture that ships with the project."""
    return SAMPLE


@pytest.fixture
def earlier(tmp_path: Path) -> Path:
    """Results of an earlier run, which a failing run must leave alone."""
    (tmp_path / "dataset").mkdir()
    for name in ("captured_data.csv", "captured_data.json", "captured_data.pcap"):
        (tmp_path / "dataset" / name).write_text("earlier")
    return tmp_path / "dataset"


@pytest.fixture
def netns() -> Iterator[str]:
    """A network namespace with a pair of interfaces, v0 and v1; gone afterwards."""
    if not shutil.which("ip"):
        pytest.skip("iproute2 is not installed")
    name = f"nn{os.getpid()}"
    subprocess.run(["ip", "netns", "add", name], check=True)
    try:
        for words in ("link add v0 type veth peer name v1", "link set v0 up", "link set v1 up", "link set lo up"):
            subprocess.run(["ip", "-n", name, *words.split()], check=True)
        yield name
    finally:
        subprocess.run(["ip", "netns", "del", name], check=True)


@pytest.fixture
def run_script(tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """`run_script("detect.py", "--input", x)` runs the stage in `tmp_path` (or `cwd`), which gets our params.yaml.

    Returns the finished process with its text; a run of more than `timeout` seconds fails the test.
    """

    def run(
        script: str, *arguments: object, cwd: Path = tmp_path, timeout: float = 180, **environment: str
    ) -> subprocess.CompletedProcess[str]:
        return _run(cwd, script, arguments, timeout, environment)

    return run


@pytest.fixture(scope="session")
def run_in() -> Callable[..., subprocess.CompletedProcess[str]]:
    """`run_in(folder, "detect.py", …)` runs a stage in `folder`, which gets our params.yaml, and checks how it ends."""

    def run(folder: Path, script: str, *arguments: object, fails: bool = False) -> subprocess.CompletedProcess[str]:
        done = _run(folder, script, arguments, timeout=180, environment={})
        assert (done.returncode != 0) == fails, f"{script}: {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done

    return run


@pytest.fixture(scope="session")
def chain(tmp_path_factory: pytest.TempPathFactory, run_in: Callable[..., object]) -> Path:
    """A folder with a model of the sample's baseline, and in new.csv the mixed part's first attacks: a flood, a scan.

    The folder is shared: name another --output than `results` where a test needs its own.
    """
    from netnormal import inputs, tables

    made = tmp_path_factory.mktemp("chain")
    run_in(made, "capture.py", "--read", SAMPLE / "baseline.pcap.gz", "-q")
    run_in(made, "extract_features.py", "-q")
    run_in(made, "train_model.py", "-q")
    packets = tables.concat(inputs.packet_blocks(SAMPLE / "mixed.pcap.gz"))
    attacks = packets[packets["time"] < packets["time"].iloc[0] + 110 * 10**9]
    tables.write(made / "new.csv", tables.PACKETS, attacks)
    return made


@pytest.fixture(scope="session")
def judged(tmp_path_factory: pytest.TempPathFactory, chain: Path, run_in: Callable[..., object]) -> Path:
    """A folder with packets and results of the sample's mixed part, and the model. Leave it as you found it."""
    made = tmp_path_factory.mktemp("judged")
    shutil.copytree(chain / "models", made / "models")
    run_in(made, "capture.py", "--read", SAMPLE / "mixed.pcap.gz", "-q")
    run_in(made, "detect.py", "--input", "dataset/captured_data.csv", "-q")
    return made


def _run(
    folder: Path, script: str, arguments: tuple[object, ...], timeout: float, environment: dict[str, str]
) -> subprocess.CompletedProcess[str]:
    if not (folder / "params.yaml").exists():
        shutil.copy(ROOT / "params.yaml", folder)
    return subprocess.run(
        [sys.executable, ROOT / script, *map(str, arguments)],
        cwd=folder,
        env=os.environ | environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )


def pytest_sessionfinish(session: pytest.Session) -> None:
    """With NETNORMAL_NO_SKIPS set, as in CI, a skipped test fails the run, except for data that CI does not have."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if not os.environ.get("NETNORMAL_NO_SKIPS") or reporter is None:
        return
    reports = reporter.stats.get("skipped", [])
    refused = [r for r in reports if SHARED.is_dir() or _NO_SHARED not in str(r.longrepr)]
    for report in refused:
        reporter.write_line(f"skipped, and that is not allowed here: {report.nodeid}: {report.longrepr[2]}", red=True)
    if refused:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
