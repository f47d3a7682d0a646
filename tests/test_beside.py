"""Detection beside a capture: what is said when it ends, and that it outlives a capture that is killed."""

from __future__ import annotations

import logging
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from netnormal import beside, interrupts

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture
def detecting(tmp_path, monkeypatch, caplog):
    """`detecting(program)` is a Detecting whose detect.py is that program; with what it and we said."""

    def made(program: str):
        script = tmp_path / "detect.py"
        script.write_text("import os, signal, sys, time\n" + program)
        monkeypatch.setattr(beside, "_SCRIPT", script)
        said: list[str] = []
        return beside.Detecting(tmp_path / "x.csv", [], {}, said.append, interrupts.Interrupts()), said

    caplog.set_level(logging.INFO, "netnormal")
    monkeypatch.setattr(logging.getLogger("netnormal"), "propagate", True)
    return made


@pytest.mark.parametrize(
    ("end", "words"),
    [
        ("sys.exit(1)", "detection ended with exit code 1; the capture goes on"),
        ("os.kill(os.getpid(), signal.SIGKILL)", "detection was killed (SIGKILL); the capture goes on"),
    ],
)
def test_detection_that_ends_first_is_said_and_the_capture_goes_on(detecting, caplog, end, words):
    running, said = detecting(f"print('following', flush=True)\n{end}")
    with running:
        running._reader.join(60)
        assert said == ["following"]
        assert words in caplog.text and "python detect.py --follow" in caplog.text
    assert caplog.text.count("detection ") == 1


def test_what_is_left_is_judged_in_silence_if_it_takes_no_time(detecting, caplog):
    running, said = detecting("sys.stdin.read(); print('1 incident')")
    with running:
        pass
    assert (said, caplog.text) == (["1 incident"], "")


def test_who_does_not_want_to_wait_for_the_rest_leaves_it(detecting, caplog, monkeypatch):
    monkeypatch.setattr(beside, "SILENT_S", 0.01)
    running, _ = detecting("sys.stdin.read(); time.sleep(600)")
    with running, interrupts.Interrupts() as signals:
        running._signals = signals
        signals.then(lambda: None)
        signal.raise_signal(signal.SIGINT)  # that ended the capture
        given = signals.next
        monkeypatch.setattr(signals, "next", lambda do: (given(do), signal.raise_signal(signal.SIGINT)))  # another
        running.__exit__()
    assert "the capture is complete; detection judges the rest" in caplog.text
    assert "detection was killed (SIGKILL); python detect.py --follow  goes on where it was" in caplog.text


@pytest.mark.parametrize(
    ("words", "found"),
    [
        (["--detect", "--evidence", "--interface", "v0"], ["--detect=--evidence", "--interface", "v0"]),
        (["--detect", "--evidence --threats x"], ["--detect", "--evidence --threats x"]),
        (["--detect", "--database"], ["--detect", "--database"]),
        (["--detect"], ["--detect"]),
    ],
)
def test_one_option_of_detect_is_no_option_of_capture(words, found):
    assert beside.joined(words) == found


def test_options_that_may_stand_alone_are_those_of_detect_and_not_of_capture():
    for script, there in (("detect.py", True), ("capture.py", False)):
        told = subprocess.run([sys.executable, ROOT / script, "--help"], capture_output=True, text=True, check=True)
        assert {f"  {word} " in told.stdout or f"  {word}\n" in told.stdout for word in beside._ALONE} == {there}


def test_who_outlives_its_reader_goes_on_and_ends_as_it_would():
    program = """
import sys
sys.path.insert(0, sys.argv[1])
from netnormal import stage
stage.outlive_reader()
sys.stdin.read()
from rich.console import Console
Console(stderr=True, force_terminal=True).print("told")
print("told", flush=True)
sys.exit(7)
"""
    words = [sys.executable, "-c", program, str(ROOT)]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as running:
        running.stdout.close()
        running.stdin.close()
        assert running.wait(120) == 7
