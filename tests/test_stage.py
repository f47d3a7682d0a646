"""What all scripts share: help, options, logs, and how a run ends."""

from __future__ import annotations

import itertools
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
SCRIPTS = ["capture.py", "extract_features.py", "train_model.py", "detect.py", "visualize.py", "evaluate.py"]


def toy(folder: Path, body: str) -> list[str]:
    """A script around `stage` whose main is `body`."""
    script = folder / "toy.py"
    lines = "\n".join(f"    {line}" for line in body.splitlines())
    script.write_text(
        f"import sys, time\nsys.path.insert(0, {str(ROOT)!r})\nfrom netnormal import stage, tables\n"
        f"def main(args):\n{lines}\nstage.run(main, stage.parser('Says hello.'))\n"
    )
    return [sys.executable, str(script), "--params", str(ROOT / "params.yaml")]


def run(command: list[str], **more: str) -> subprocess.CompletedProcess[str]:
    environment = os.environ | more
    return subprocess.run(command, capture_output=True, text=True, timeout=60, env=environment, check=False)


@pytest.mark.parametrize("script", SCRIPTS)
def test_help_says_what_is_read_and_written_and_what_each_option_means(script):
    done = run([sys.executable, str(ROOT / script), "--help"], COLUMNS="200")
    assert done.returncode == 0
    for word in ("Reads", "Writes", "--params", "--jobs", "--log-file", "-q", "-v"):
        assert word in done.stdout
    lines = done.stdout.split("options:", 1)[1].splitlines()
    for line, following in itertools.pairwise([*lines, ""]):
        if line.startswith("  -"):  # its words stand beside it, or, where it is long, below it
            assert "  " in line.strip() or (following.startswith("   ") and following.strip()), f"no words for {line}"


def test_the_last_line_is_the_sentence_and_the_exit_code_is_0(tmp_path):
    done = run(toy(tmp_path, "stage.log.info('working')\nreturn 'all done'"))
    assert (done.returncode, done.stdout, done.stderr) == (0, "all done\n", "working\n")
    quiet = run([*toy(tmp_path, "stage.log.info('working')\nreturn 'all done'"), "-q"])
    assert (quiet.stdout, quiet.stderr) == ("all done\n", "")


def test_bad_input_is_one_line_and_exit_code_1(tmp_path):
    done = run(toy(tmp_path, "raise tables.InputError('x.csv', 'is\\nodd', 'mend it')"))
    assert (done.returncode, done.stdout, done.stderr) == (1, "", "toy.py: x.csv: is odd: mend it\n")


def test_a_wrong_parameter_is_one_line_and_exit_code_1(tmp_path):
    (tmp_path / "p.yaml").write_text("capture: 3\n")
    done = run([*toy(tmp_path, "return ''")[:2], "--params", str(tmp_path / "p.yaml")])
    assert done.returncode == 1
    assert done.stderr.startswith(f"toy.py: {tmp_path}/p.yaml: ")
    assert done.stderr.count("\n") == 1


def test_wrong_options_are_exit_code_2(tmp_path):
    for option in (["--jobs", "0"], ["--jobs", "many"], ["--colour"], ["--jo", "2"]):
        assert run([*toy(tmp_path, "return ''"), *option]).returncode == 2


def test_a_bug_looks_like_a_bug(tmp_path):
    done = run(toy(tmp_path, "return 1 / 0"))
    assert done.returncode == 1
    assert "ZeroDivisionError" in done.stderr
    assert "Traceback" in done.stderr


def test_a_log_file_gets_everything_with_times_also_when_quiet(tmp_path):
    log = tmp_path / "log.txt"
    run([*toy(tmp_path, "stage.log.info('working')\nreturn 'all done'"), "-q", "--log-file", str(log)])
    run([*toy(tmp_path, "raise tables.InputError('x', 'y', 'z')"), "--log-file", str(log)])
    words = log.read_text()
    for text in ("INFO working", "INFO all done", "INFO toy.py: x: y: z"):
        assert text in words
    assert words.startswith("20")
    done = run([*toy(tmp_path, "return ''"), "--log-file", str(tmp_path / "none" / "log.txt")])
    assert done.returncode == 1
    assert "choose another --log-file" in done.stderr


def test_an_interrupt_ends_with_130_and_a_reader_that_leaves_is_no_error(tmp_path):
    command = toy(tmp_path, "print('ready', flush=True)\ntime.sleep(30)\nreturn ''")
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "ready\n"
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=30)
    assert process.returncode == 130
    assert said == "toy.py: interrupted; nothing was replaced\n"
    many = toy(tmp_path, "for _ in range(100_000):\n    print('a line')\nreturn ''")
    with subprocess.Popen(many, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        process.stdout.readline()
        process.stdout.close()
        assert process.stderr.read() == ""
    assert process.returncode == 0
