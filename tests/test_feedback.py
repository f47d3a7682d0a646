"""What a person found out about an incident is kept whole, and changes models at the next training only."""

from __future__ import annotations

import json
import re
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from netnormal import feedback, model, tables
from netnormal.tables import InputError

INCIDENT = {
    "incident_id": "I0a1b2c3d",
    "pattern": "unusual_behaviour",
    "title": "10.0.0.5 behaved unusually, with commas, towards 10.0.0.7",
    "start": "2026-11-21T12:00:00.000000001Z",
}


def test_a_verdict_reads_back_as_it_was_given(tmp_path):
    path = tmp_path / "dataset" / "feedback.csv"
    feedback.record(path, INCIDENT, "benign", "the new\nbackup")
    feedback.record(path, INCIDENT | {"incident_id": "Iffffffff"}, "malicious")
    found = feedback.read(path)
    assert found["incident_id"].tolist() == ["I0a1b2c3d", "Iffffffff"]
    assert found["verdict"].tolist() == ["benign", "malicious"]
    assert found["reason"].tolist()[0] == r"the new\x0abackup"
    assert found["title"].tolist() == [INCIDENT["title"]] * 2
    assert found["start"].tolist() == [1795262400000000001] * 2
    assert found["rows"].isna().all()


def test_a_title_from_the_network_is_no_formula(tmp_path):
    path = tmp_path / "feedback.csv"
    feedback.record(path, INCIDENT | {"title": "=HYPERLINK(1)\x1b[2J"}, "malicious")
    assert feedback.read(path)["title"].tolist() == [r"'=HYPERLINK(1)\x1b[2J"]


def test_verdicts_given_at_the_same_time_are_all_kept(tmp_path):
    path = tmp_path / "feedback.csv"
    with ThreadPoolExecutor(8) as pool:
        done = [
            pool.submit(feedback.record, path, INCIDENT | {"incident_id": f"I{n:08x}"}, "benign") for n in range(40)
        ]
        assert [one.result() for one in done] == [None] * 40
    assert sorted(feedback.read(path)["incident_id"]) == [f"I{n:08x}" for n in range(40)]


def test_what_is_no_verdict_is_refused_and_nothing_changes(tmp_path):
    path = tmp_path / "feedback.csv"
    with pytest.raises(InputError, match="no verdict"):
        feedback.record(path, INCIDENT, "perhaps")
    with pytest.raises(InputError, match="no time"):
        feedback.record(path, INCIDENT | {"start": "yesterday"}, "benign")
    assert not path.exists()
    header = ",".join(tables.FEEDBACK.names)
    for text in ("not a table\n", f"{header}\n2026-11-21T12:00:00Z,I1,perhaps,,p,2026-11-21T12:00:00Z,t,\n"):
        path.write_text(text)
        with pytest.raises(InputError):
            feedback.record(path, INCIDENT, "benign")
        assert path.read_text() == text


def test_the_file_that_ships_is_empty_and_of_this_version():
    assert len(feedback.read("dataset/feedback.csv", optional=False)) == 0


@pytest.fixture(scope="module")
def judged(chain, run_in, tmp_path_factory):
    """A folder with the chain's model, and the incidents of its new.csv."""
    folder = tmp_path_factory.mktemp("judged")
    for name in ("models", "dataset"):
        shutil.copytree(chain / name, folder / name)
    run_in(folder, "detect.py", "--input", chain / "new.csv", "-q")
    return folder


@pytest.fixture
def incident(judged, monkeypatch):
    """The id of an incident with anomalous rows, where there are no verdicts yet and paths are relative to."""
    monkeypatch.chdir(judged)
    Path(feedback.FILE).unlink(missing_ok=True)
    anomalies = tables.read("results/anomalies.csv", tables.ANOMALIES)
    return str(anomalies["incident_id"].dropna().iloc[0])


def kept():
    return feedback.benign_rows(feedback.FILE)


def test_a_benign_verdict_keeps_the_most_unusual_row_of_each_source_and_window(judged, run_in, incident):
    done = run_in(judged, "detect.py", "--feedback", f"{incident}=benign", "--reason", "our scanner")
    said = f"{incident} benign → dataset/feedback.csv; models change at the next  python train_model.py  only\n"
    assert (done.stdout, done.stderr) == (said, "")
    assert feedback.read(feedback.FILE)["reason"].tolist() == ["our scanner"]
    rows, incidents, other = kept()
    assert (incidents, other) == (1, 0)
    anomalies = tables.read("results/anomalies.csv", tables.ANOMALIES)
    mine = anomalies[anomalies["incident_id"] == incident]
    best = mine.groupby(["window_s", "window_start", "source"], observed=True)["score"].max()
    assert 0 < len(rows) == min(len(best), feedback.MOST_ROWS)
    both = rows.merge(mine, on=["window_s", "window_start", "source", "destination", "service"], how="left")
    assert sorted(both["score"]) == sorted(best.nlargest(len(rows)))


def test_the_last_verdict_holds_and_a_malicious_one_never_joins(incident):
    joined = []
    for verdict in ("malicious", "benign", "malicious"):
        feedback.given([f"{incident}={verdict}"], "results")
        joined.append(kept()[1])
    assert joined == [0, 1, 0]
    assert len(feedback.read(feedback.FILE)) == 3


def test_benign_rows_join_the_calibration_at_the_next_training_and_it_is_said(judged, run_in, incident):
    trained = Path("models/isolation_forest.pkl")
    old = trained.read_bytes()
    feedback.given([f"{incident}=benign"], "results")
    line = Path(feedback.FILE).read_text().split("\n", 1)[1]
    other = line.replace(incident, "I0").replace("conversation_flows_count", "conversation_old_count")
    Path(feedback.FILE).write_text(Path(feedback.FILE).read_text() + other)
    assert trained.read_bytes() == old  # nothing trains silently
    done = run_in(judged, "train_model.py", "--output", "after/m.pkl")
    assert re.search(r"[1-9]\d* of \d+ rows of 1 incident found benign \(dataset/feedback.csv\) joined", done.stderr)
    assert "1 more found benign are of a version with other features" in done.stderr
    before, after = model.load(trained), model.load("after/m.pkl")
    thresholds = [{s: part.tail.quantile(part.threshold) for s, part in m.windows.items()} for m in (before, after)]
    assert all(thresholds[1][s] >= thresholds[0][s] for s in before.windows) and thresholds[1] != thresholds[0]
    card = json.loads(Path("after/model_card.json").read_text())
    assert sum(part["calibration_units_found_benign"] for part in card["windows"].values()) > 0
    assert after.promise() == before.promise()  # a verdict is no held-out time


def test_a_changed_cell_among_the_rows_is_refused_in_one_sentence(judged, run_in, incident):
    feedback.given([f"{incident}=benign"], "results")
    path = Path(feedback.FILE)
    path.write_text(re.sub(r"\n(10|60),2026[^,]*,", "\n10,yesterday,", path.read_text()))
    done = run_in(judged, "train_model.py", "--output", "p/m.pkl", fails=True)
    assert done.stderr.count("\n") == 1 and done.stderr.startswith("train_model.py: dataset/feedback.csv")
    assert not Path("p").exists()


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ("Ideadbeef=benign", "results/incidents.json: has no incident Ideadbeef: name one of the "),
        ("Ideadbeef", "is no verdict"),
        ("Ideadbeef=good", "is no verdict"),
        ("=benign", "is no verdict"),
    ],
)
def test_an_unknown_incident_or_verdict_is_refused(incident, asked, said):
    with pytest.raises(InputError, match=said):
        feedback.given([f"{incident}=benign", asked], "results")
    assert kept()[1:] == (0, 0)  # not even the first, which was right


def test_live_incidents_can_be_judged_too(judged, incident):
    found, folder = feedback.find(incident, "results")
    assert folder == Path("results")
    Path("other/live").mkdir(parents=True, exist_ok=True)
    Path("other/live/incidents.json").write_text(json.dumps([found]))
    assert feedback.find(incident, "other") == (found, Path("other/live"))
    with pytest.raises(InputError, match=r"nowhere/incidents\.json: does not exist"):
        feedback.find(incident, "nowhere")
