"""detect.py --follow, killed with kill -9 at random moments and started again, says what batch says."""

from __future__ import annotations

import itertools
import os
import re
import subprocess
import sys

import following
import numpy as np
import pytest
from following import ROOT, Growing

from netnormal import model

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
KILLS = max(8, int(os.environ.get("NETNORMAL_KILLS", "0")))
#: Loads what detect.py loads once; then for each line of input runs it in a process of its own, which is killed after
#: so many seconds, or (0) left to end by itself.
RUNS = """
import os, runpy, signal, sys, time
script = sys.argv[1]
sys.path.insert(0, os.path.dirname(script))
runpy.run_path(script)
for line in sys.stdin:
    seconds = float(line)
    child = os.fork()
    if not child:
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        sys.argv = [script, "--follow", "--no-alert", *([] if seconds else ["--until-eof"])]
        try:
            runpy.run_path(script, run_name="__main__")
        except SystemExit as end:
            sys.stdout.flush()
            os._exit(end.code)
        os._exit(3)
    if seconds:
        time.sleep(seconds)
        os.kill(child, signal.SIGKILL)
    print("ended", os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""


def test_killed_at_random_moments_it_says_what_batch_says(tmp_path):
    growing, random = Growing(tmp_path), np.random.default_rng(11)
    text = (ROOT / "params.yaml").read_text("utf-8")
    chosen = {"windows_s": "[10, 40]", "settle_s": 15, "gap_s": 20, "absorb_s": 10, "bookmark_s": 1}
    for name, value in chosen.items():
        text, count = re.subn(rf"^( +{name}:) [\d.]+(?= )|^( +{name}:) \[[\d, ]+\]", rf"\1\2 {value}", text, flags=re.M)
        assert count == 1
    (tmp_path / "params.yaml").write_text(text, "utf-8")
    model.save(following.learnt(), tmp_path / "models/isolation_forest.pkl")
    packets = following.packets()
    edges = [0, *np.sort(random.choice(np.arange(1, len(packets)), KILLS - 1, replace=False)), len(packets)]
    command = [sys.executable, "-c", RUNS, str(ROOT / "detect.py")]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, cwd=tmp_path, **pipes) as runs:

        def run(seconds: float) -> int:
            runs.stdin.write(f"{seconds}\n")
            runs.stdin.flush()
            lines = iter(runs.stdout.readline, "")
            return int(next(line for line in lines if line.startswith("ended ")).split()[1])

        for first, last in itertools.pairwise(edges):
            growing.put(packets.iloc[first:last], half=int(random.integers(0, 20)))
            assert run(random.uniform(0.3, 1.8)) == -9
            growing.write(growing.rest)
        assert run(0) == 0
    live = tmp_path / "results/live"
    assert {name: (live / name).read_bytes() for name in following.FILES} == following.batch()
