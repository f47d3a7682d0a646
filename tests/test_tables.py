"""Reading and writing the files of the pipeline, and params.yaml."""

from __future__ import annotations

import gzip
import io
import re
import threading
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from netnormal import settings, tables
from netnormal.tables import Column, InputError, Schema

ROOT = Path(__file__).resolve().parent.parent
THINGS = Schema(
    "things",
    "one row per thing",
    "python capture.py",
    (
        Column("number", "int", "", low=1),
        Column("time", "time", ""),
        Column("port", "int", "", empty="none", low=0, high=65535),
        Column("name", "text", "", empty="none"),
        Column("share", "float", "", low=0, high=1),
    ),
)
PROSE = Schema("prose", "", "python detect.py", (Column("words", "text", "", empty="none"),), prose=True, carries=True)


def things(numbers, ports, names, shares):
    return pd.DataFrame(
        {
            "number": np.array(numbers, np.int64),
            "time": np.array(numbers, np.int64) * 1_000_000_007 + 1_795_234_120_000_000_000,
            "port": np.array(ports, np.int64),
            "name": pd.Categorical(names),
            "share": np.array(shares, np.float64),
        }
    )


rows = st.lists(
    st.tuples(
        st.integers(1, 2**40),
        st.integers(-1, 65535),
        st.one_of(st.none(), st.text("abc.-_:0", min_size=1)),
        st.one_of(st.just(np.nan), st.floats(0, 1)),
    ),
    max_size=30,
)


PLAIN = Schema("plain", "", "python capture.py", THINGS.columns[:-1])
numbers = st.one_of(st.integers(-2, 12), st.integers(-(2**63) + 1, 2**63 - 1))
plain = st.lists(st.tuples(numbers, numbers, st.integers(-1, 65535), st.integers(-1, 2)), max_size=40)


@given(plain, st.sampled_from([300, 1 << 18]))
def test_lines_without_decimals_and_quotes_are_spelt_as_numpy_spells_them(values, piece_bytes):
    words = ["", "a", "日" * 90]
    number, time, port, name = np.array(values, np.int64).reshape(-1, 4).T
    table = pd.DataFrame({"number": number, "time": time, "port": port, "name": pd.Categorical.from_codes(name, words)})
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("netnormal.tables.rows.PIECE_BYTES", piece_bytes)
        out = io.BytesIO()
        tables.Writer(out, PLAIN).append(table)
    lines = [f"{a},{tables.iso(b)},{'' if c == -1 else c},{'' if d == -1 else words[d]}\n" for a, b, c, d in values]
    assert out.getvalue().decode() == "number,time,port,name\n" + "".join(lines)


def test_a_word_that_needs_quotes_is_no_word_of_a_schema_without_prose():
    for word in ("a,b", 'a"b', "a\nb", "a\rb"):
        with pytest.raises(ValueError, match="needs quotes"):
            tables.Writer(io.BytesIO(), PLAIN).append(things([1], [1], [word], [0.0]))


@given(rows, st.sampled_from(["", ".gz"]), st.integers(300, 2000))
def test_what_is_written_is_read_again_however_the_file_is_cut(tmp_path_factory, values, ending, block_bytes):
    path = tmp_path_factory.mktemp("t") / f"things.csv{ending}"
    table = things(*(list(column) for column in zip(*values, strict=True))) if values else tables.empty(THINGS)
    tables.write(path, THINGS, table)
    parts = list(tables.blocks(path, THINGS, block_bytes))
    again = tables.concat(parts) if parts else tables.empty(THINGS)
    for name in ("number", "time", "port"):
        assert again[name].tolist() == table[name].tolist()
    assert again["name"].astype(object).fillna("").tolist() == table["name"].astype(object).fillna("").tolist()
    np.testing.assert_allclose(again["share"], np.round(table["share"].to_numpy(np.float64), 6))


def test_times_have_nanoseconds_and_say_utc(tmp_path):
    tables.write(tmp_path / "t.csv", THINGS, things([1], [-1], [None], [0.25]))
    assert (tmp_path / "t.csv").read_text() == (
        "number,time,port,name,share\n1,2026-11-21T04:08:41.000000007Z,,,0.25\n"
    )
    assert tables.iso(1_795_234_121_000_000_007) == "2026-11-21T04:08:41.000000007Z"


def test_free_text_is_quoted_and_extra_columns_are_carried(tmp_path):
    table = pd.DataFrame({"words": ['a, "b"', "two\nlines", None], "more": ["x", "y,z", "w"]})
    tables.write(tmp_path / "p.csv", PROSE, table)
    again = tables.read(tmp_path / "p.csv", PROSE)
    assert again["words"].astype(object).fillna("").tolist() == ['a, "b"', "two\nlines", ""]
    assert again["more"].tolist() == ["x", "y,z", "w"]


def test_equal_tables_make_equal_files_gzipped_or_not(tmp_path):
    for name in ("a.csv.gz", "b.csv.gz"):
        tables.write(tmp_path / name, THINGS, things([1, 2], [80, -1], ["x", None], [0, 1]))
    assert (tmp_path / "a.csv.gz").read_bytes() == (tmp_path / "b.csv.gz").read_bytes()


GOOD = "number,time,port,name,share\n1,2026-11-21T04:08:40Z,80,x,0.5\n"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "is empty: write it again with"),
        ("number,time,port\n1,2026-11-21T04:08:40Z,80\n", "no column name, share: "),
        (GOOD.replace("name", "port"), "no column name"),
        (GOOD.replace("share", "share,share").replace("0.5", "0.5,1"), "two columns of the same name"),
        (GOOD + "2,yesterday,80,x,0.5\n", r"after row 0: .*yesterday"),
        (GOOD + "2,2026-11-21T04:08:40Z,eighty,x,0.5\n", r"after row 0: .*eighty"),
        (GOOD + "2,2026-11-21T04:08:40Z,80,x\n", "after row 0: .*5 columns"),
        (GOOD + "2,2026-11-21T04:08:40Z,65536,x,0.5\n", "row 2: `port` is 65536, not 0 to 65535"),
        (GOOD + "2,2026-11-21T04:08:40Z,-7,x,0.5\n", "row 2: `port` is -7, not 0 to 65535"),
        (GOOD + "2,2026-11-21T04:08:40Z,80,x,1.5\n", "row 2: `share` is 1.5"),
        (GOOD + "2,2026-11-21T04:08:40Z,80,x,inf\n", "row 2: `share` is inf"),
        (GOOD + ",2026-11-21T04:08:40Z,80,x,0.5\n", "row 2: `number` is empty"),
        (GOOD + "2,,80,x,0.5\n", "row 2: `time` is empty"),
    ],
)
def test_a_wrong_file_is_refused_in_words_that_name_the_place(tmp_path, text, words):
    (tmp_path / "t.csv").write_text(text)
    with pytest.raises(InputError, match=words) as caught:
        tables.read(tmp_path / "t.csv", THINGS)
    assert "\n" not in str(caught.value)
    assert str(caught.value).startswith(str(tmp_path / "t.csv"))


def test_damaged_gzip_and_missing_files_and_folders_are_refused(tmp_path):
    (tmp_path / "t.csv.gz").write_bytes(gzip.compress(GOOD.encode() * 100)[:40])
    with pytest.raises(InputError, match="damaged gzip"):
        tables.read(tmp_path / "t.csv.gz", THINGS)
    with pytest.raises(InputError, match=r"none.csv: does not exist: make it with  python capture.py"):
        tables.read(tmp_path / "none.csv", THINGS)
    with pytest.raises(InputError, match="cannot be read"):
        tables.read(tmp_path, THINGS)


def test_a_header_decides_what_a_file_is(tmp_path):
    (tmp_path / "t.csv").write_text(GOOD)
    assert tables.identify(tmp_path / "t.csv", [PROSE, THINGS]) is THINGS
    (tmp_path / "u.csv").write_text("number,time\n")
    with pytest.raises(InputError, match=r"is neither prose or things|nearest: "):
        tables.identify(tmp_path / "u.csv", [PROSE, THINGS])


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path):
    (tmp_path / "t.csv").write_text("old")
    with pytest.raises(ZeroDivisionError), tables.writer(tmp_path / "t.csv", THINGS) as out:
        out.append(things([1], [-1], [None], [0.5]))
        raise ZeroDivisionError
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("t.csv", "old")]


def test_readers_see_the_old_file_or_the_new_one_never_a_part(tmp_path):
    path = tmp_path / "t.csv"
    sizes = set()
    small, large = things([1], [1], ["a"], [0]), things(range(1, 20_000), [1] * 19_999, ["a"] * 19_999, [0] * 19_999)
    tables.write(path, THINGS, small)
    done = threading.Event()

    def write():
        for _ in range(10):
            tables.write(path, THINGS, large)
            tables.write(path, THINGS, small)
        done.set()

    thread = threading.Thread(target=write)
    thread.start()
    while not done.is_set():
        sizes.add(path.read_text().count("\n"))
    thread.join()
    assert sizes <= {2, 20_000}


def test_output_that_cannot_be_written_is_said(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match=r"cannot be written \(its folder is a file\): choose another --output"):
        tables.write(tmp_path / "file" / "t.csv", THINGS, tables.empty(THINGS))
    (tmp_path / "folder").mkdir()
    with pytest.raises(InputError, match=r"folder: cannot be written \(Is a directory\)"):
        tables.write(tmp_path / "folder", THINGS, tables.empty(THINGS))


def test_json_has_no_nan_and_hostile_json_is_refused(tmp_path):
    tables.write_json(tmp_path / "a.json", {"x": float("nan"), "y": np.float64(0.5), 3: np.array([1, 2])})
    assert tables.read_json(tmp_path / "a.json", "do it again") == {"x": None, "y": 0.5, "3": [1, 2]}
    for text in ("[1]", "{", "[" * 100_000):
        (tmp_path / "b.json").write_text(text)
        with pytest.raises(InputError, match="do it again"):
            tables.read_json(tmp_path / "b.json", "do it again")


# ---------------------------------------------------------------- params.yaml

PARAMS = (ROOT / "params.yaml").read_text("utf-8")


def test_sections_are_in_the_order_of_the_stages():
    sections = re.findall(r"^(\w+):", PARAMS, re.MULTILINE)
    stages = re.findall(r"^  (\w+):$", (ROOT / "dvc.yaml").read_text("utf-8").split("\nplots:")[0], re.MULTILINE)
    assert sections == ["capture", *stages]


def test_every_parameter_has_a_comment():
    for line in PARAMS.splitlines():
        if re.match(r"\s+\w+:\s*\S", line):
            assert "#" in line, line


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("  trees: 200 ", "  trees: many ", "train_model.trees is 'many': it must be a whole number"),
        ("  trees: 200 ", "  trees: 3 ", "train_model.trees is 3: it must be from 10 to 2000"),
        ("  trees: 200 ", "  tress: 200 ", "train_model.tress is not a known name: the names are seed, trees"),
        ("  trees: 200 ", "  # trees: 200 ", "train_model.trees is missing"),
        ("  trees: 200 ", "  trees: true ", "train_model.trees is True: it must be a whole number"),
        ("[10, 60, 600]", "[60, 10]", "extract_features.windows_s is .*ascending"),
        ("[10, 60, 600]", "10", "extract_features.windows_s is 10: it must be a list of whole numbers"),
        ("train_model:", "train_model: [", "is not readable YAML"),
        ("    gap_s: 300 ", "    gap_s: -1 ", "detect.incidents.gap_s is -1: it must be 0 or more"),
    ],
)
def test_a_wrong_parameter_is_named_in_one_sentence(tmp_path, old, new, words):
    assert PARAMS.count(old) == 1
    (tmp_path / "p.yaml").write_text(PARAMS.replace(old, new), "utf-8")
    with pytest.raises(settings.SettingError, match=words) as caught:
        settings.load(tmp_path / "p.yaml")
    assert str(caught.value).startswith(str(tmp_path / "p.yaml"))


def test_without_params_the_remedy_is_named(tmp_path):
    with pytest.raises(settings.SettingError, match=r"does not exist: run from the project's folder"):
        settings.load(tmp_path / "none.yaml")
