"""The parts of following: the tail of a table, files and bookmark, health, a model that is replaced, the service."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import following
import pytest
from following import Clock, Growing, csv, packets

from netnormal import detection, earlier, model, settings, tables
from netnormal.follow import ModelFile, Status, Tail, health
from netnormal.tables import InputError

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture
def growing(tmp_path, monkeypatch):
    following.remember(monkeypatch)
    return Growing(tmp_path / "net")


def part(first: int, last: int):
    return packets().iloc[first:last].reset_index(drop=True)


def numbers(tail: Tail) -> list[int]:
    rows = tail.read()
    return [] if rows is None else rows["packet"].tolist()


# ---------------------------------------------------------------- the tail


def test_a_table_is_read_as_it_comes_whole_rows_only(growing):
    tail = Tail(growing.table)
    assert tail.read() is None
    growing.put(part(0, 3), half=5)
    assert numbers(tail) == [1, 2]
    assert numbers(tail) == []
    growing.write(growing.rest)
    assert numbers(tail) == [3]


def test_what_was_rotated_away_meanwhile_is_read_in_order_then_the_table_of_now(growing):
    tail = Tail(growing.table)
    growing.put(part(0, 100))
    assert len(numbers(tail)) == 100
    growing.put(part(100, 120))
    for first, last in ((200, 300), (300, 400)):
        growing.rotate()
        growing.put(part(first, last))
    again = Tail(growing.table, tail.position)
    read = [numbers(again) for _ in range(4)]
    assert [rows[0] if rows else None for rows in read] == [101, 201, 301, None]
    assert again.problems == []


def test_what_was_deleted_or_cut_is_said(growing):
    tail = Tail(growing.table)
    growing.put(part(0, 100))
    numbers(tail)
    os.truncate(growing.table, growing.table.stat().st_size - 40)
    assert tail.read() is None and "lost 40 bytes" in tail.problems[0]
    growing.rotate()
    shutil.rmtree(growing.table.parent / "captures")
    growing.put(part(200, 210))
    assert numbers(tail)[0] == 201 and "deleted before" in tail.problems[1]


def test_an_older_table_in_its_place_is_refused(growing):
    growing.put(part(200, 210))
    tail = Tail(growing.table)
    numbers(tail)
    growing.table.write_bytes(csv(part(0, 10)))
    with pytest.raises(InputError, match="older than what was followed"):
        tail.read()


# ---------------------------------------------------------------- files and bookmark


def test_two_cannot_follow_into_one_folder(growing):
    first = growing.follower()
    with pytest.raises(InputError, match="another detect"):
        growing.follower()
    first.finish(over=False)
    growing.follower().finish(over=False)


@pytest.mark.parametrize("spoil", ['{"version": 1}', "[]", "{", '{"version": 0}'])
def test_a_bookmark_that_is_none_is_refused_with_the_remedy(growing, spoil):
    growing.put(part(0, 10))
    growing.follower().finish(over=False)
    (growing.live / "bookmark").write_text(spoil)
    with pytest.raises(InputError, match=r"delete it to begin anew|another capture"):
        growing.follower()


def test_a_bookmark_of_another_capture_is_refused(growing):
    growing.follower().finish(over=False)
    growing.table = growing.table.with_name("other.csv")
    with pytest.raises(InputError, match="is of another capture"):
        growing.follower()


def test_an_incident_that_grows_tenfold_is_told_again(growing):
    follower = growing.follower()
    grown = {"incident_id": "I1", "packets": 30}
    for count in (30, 299, 300, 301, 3000):
        told = detection_of(grown | {"packets": count})
        follower._take(told)
    assert growing.told == [("I1", False), ("I1", True), ("I1", True)]


def test_an_incident_of_a_short_window_does_not_wait_for_a_long_one(growing, monkeypatch):
    events: list[object] = []
    judge = detection.Detection._judge
    monkeypatch.setattr(
        detection.Detection,
        "_judge",
        lambda self, window, rows: events.append(window.window_s) or judge(self, window, rows),
    )
    monkeypatch.setattr(growing, "tell", lambda document, again: events.append(document["pattern"]))
    cut = replace(following.QUICK.extract_features, windows_s=(10, 30))  # both end where the scan has ended
    monkeypatch.setattr(following, "QUICK", replace(following.QUICK, extract_features=cut))
    until = packets()["time"].iloc[0] + 35 * 10**9
    growing.put(part(0, int((packets()["time"] < until).sum())))
    growing.follower().step()
    assert events == [10, 10, 10, "port_scan", 30]


def detection_of(document):
    from netnormal.detection import Judged

    path = next(iter(json.loads(following.batch()["incidents.json"])))
    return Judged([], [], [path | document])


def test_memory_is_bounded_and_what_it_costs_is_counted(growing):
    follower = growing.follower()
    follower.files.most = 3
    for number in range(20):
        follower._take(detection_of({"incident_id": f"I{number}", "packets": 5}))
    assert list(follower.files.documents) == ["I17", "I18", "I19"]
    assert follower.evicted["incidents"] == 17
    assert len(follower._told) <= 2 * 3 + 1


# ---------------------------------------------------------------- status and health


def test_health_is_ok_then_degraded_then_dead(growing):
    wall = Clock()
    wall.now = 1_800_000_000.0
    manifest = growing.table.with_suffix(".json")

    def capture_writes(**more):
        tables.write_json(manifest, {"problems": [earlier.UNFINISHED], "packets": 1000, **more})
        os.utime(manifest, (wall.now, wall.now))

    growing.put(part(0, 50))
    follower = growing.follower()
    status = Status(follower, growing.clock, wall)
    assert health(growing.live)[0] == 2  # never started
    capture_writes()
    follower.step()
    status.write()
    assert health(growing.live, wall.now) == (0, f"ok: 0 s behind, latest packet {tables.iso(follower.now)}")
    growing.clock.now += 10
    wall.now += 10
    capture_writes(kernel_drops=700, drop_share_limit=0.0001)
    status.write()
    code, said = health(growing.live, wall.now)
    assert (code, said) == (1, "degraded: the kernel lost 700 packets, which nobody has seen")
    growing.clock.now += 700
    wall.now += 700
    status.write()  # the loss is long ago, but the capture is gone
    assert health(growing.live, wall.now) == (1, f"degraded: no capture is writing {growing.table}")
    assert health(growing.live, wall.now + 61)[0] == 2
    status.write("ended")
    assert health(growing.live, wall.now)[0] == 2
    assert health(growing.live, wall.now)[1].startswith("dead: it ended at ")
    status.write("failed", "no room")
    assert health(growing.live, wall.now)[1].startswith("dead: it failed at ")
    assert health(growing.live, wall.now)[1].endswith(": no room")
    (growing.live / "status.json").write_text('{"written": "soon"}')
    assert health(growing.live)[0] == 2


def test_windows_that_are_too_full_are_said(growing):
    growing.put(part(0, 400))
    follower = growing.follower()
    follower.detection.windower.most = 10
    follower.step()
    Status(follower, growing.clock).write()
    status = json.loads((growing.live / "status.json").read_text())
    left = status["evicted"]["packets"]
    assert left > 0
    assert f"windows keep their first 10 packets (packets_per_window): {left} were left out of one" in status["reasons"]


def test_a_status_is_plain_and_complete(growing):
    growing.put(part(0, 400))
    follower = growing.follower()
    follower.step()
    Status(follower, growing.clock).write()
    status = json.loads((growing.live / "status.json").read_text())
    assert (status["packets"], status["pid"], status["capture"]) == (400, os.getpid(), str(growing.table))
    assert set(status["evicted"]) == {"packets", "stories", "drafts", "scans", "calls", "names", "notices", "incidents"}
    assert abs(datetime.fromisoformat(status["written"]).timestamp() - datetime.now(UTC).timestamp()) < 3600


# ---------------------------------------------------------------- a model that is replaced


def test_a_new_model_is_taken_up_and_a_broken_one_is_said_and_not_used(tmp_path):
    clock, path = Clock(), tmp_path / "model.pkl"
    model.save(following.learnt(), path)
    source = ModelFile(str(path), clock)
    before = source.model
    clock.now += 2
    assert not source.renewed()
    path.write_bytes(b"no model")
    for _ in range(3):
        clock.now += 6
        assert not source.renewed()
    assert source.model is before and "is not the model that" in source.problem
    model.save(following.learnt(), path)  # the same again is no news
    clock.now += 6
    assert not source.renewed() and not source.problem
    other = following.learnt()
    changed = model.Model(**{**vars(other), "left_out": {600: "too short"}})
    model.save(changed, path)
    clock.now += 6
    assert source.renewed() and source.model.left_out == {600: "too short"}


# ---------------------------------------------------------------- as a service


def test_the_units_are_understood_by_systemd(tmp_path):
    if not shutil.which("systemd-analyze"):
        pytest.skip("systemd is not installed")
    units = []
    for unit in sorted((ROOT / "docs/systemd").iterdir()):
        text = unit.read_text().replace("/opt/netnormal/.venv/bin/python", "/usr/bin/env")
        units.append(tmp_path / unit.name)
        units[-1].write_text(text)
    done = subprocess.run(["systemd-analyze", "verify", *units], capture_output=True, text=True, check=False)
    mine = [line for line in done.stderr.splitlines() if "netnormal" in line]
    assert (done.returncode, mine) == (0, []), done.stderr


def test_units_that_may_write_little_keep_compiled_code_where_they_may():
    for unit in (ROOT / "docs/systemd").glob("*.service"):
        text = unit.read_text()
        assert "\nCacheDirectory=netnormal\nEnvironment=NUMBA_CACHE_DIR=/var/cache/netnormal" in text, unit.name


@pytest.mark.skipif(os.name != "posix", reason="of services on POSIX")
def test_kernels_compile_where_nothing_may_be_kept(tmp_path):
    made = tmp_path / "netnormal"
    shutil.copytree(ROOT / "netnormal/kernels", made / "kernels", ignore=shutil.ignore_patterns("__pycache__"))
    for nowhere in (made / "__init__.py", made / "kernels/__pycache__", tmp_path / "home"):
        nowhere.touch()
    program = "import numpy as np, netnormal.kernels.frames as k; print(k._u16(np.ones(2, np.uint8), 0, True))"
    environment = {"PATH": os.environ["PATH"], "HOME": str(tmp_path / "home"), "PYTHONDONTWRITEBYTECODE": "1"}
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "257\n"), done.stderr


def test_operations_names_the_settings_as_they_are():
    chosen = settings.load(ROOT / "params.yaml").detect.follow
    text = (ROOT / "docs/operations.md").read_text("utf-8")
    for words in (
        f"{chosen.quiet_s:g} s beyond it (`quiet_s`)",
        f"every {chosen.bookmark_s:g} s (`bookmark_s`)",
        f"latest {chosen.incidents:,} (`detect.follow.incidents`)",
        f"more than {chosen.lag_s:g} s behind it (`lag_s`)",
        f"| {chosen.file_mb:g} MB (`detect.follow.file_mb`) |",
        f"the latest {chosen.file_mb:g} MB of them (`file_mb`)",
    ):
        assert words in text
