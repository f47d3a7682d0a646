"""Databases: each kind for real. What goes in is there once, what is wrong is said without its password."""

from __future__ import annotations

import json
import threading
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import servers
import sqlalchemy as sa

from netnormal import inputs, sinks, tables, traffic
from netnormal.sinks import address, database, queries, schema
from netnormal.sinks.queries import QUERIES

pytestmark = pytest.mark.xdist_group("databases")
INCIDENT = {
    "incident_id": "I0a1b2c3d",
    "start": "2026-11-21T04:00:05.275434001Z",
    "end": "2026-11-21T04:00:09.000000000Z",
    "detected": "2026-11-21T04:00:10.000000000Z",
    "pattern": "port_scan",
    "title": "10.0.0.1 scanned'); DROP TABLE incidents; -- %s \\ \x00\x1b[31m\u202e",
    "technique": None,
    "severity": "high",
    "score": 0.75,
    "source": "10.0.0.1",
    "destinations": ["10.0.0.2", "10.0.0.3"],
    "services": ["TCP/22"],
    "packets": 12,
    "bytes": 720,
    "reasons": "many",
    "display_filter": "ip.addr == 10.0.0.1",
    "evidence": {"ports": 5},
}


@pytest.fixture(scope="module")
def packets(sample):
    return next(iter(inputs.packet_blocks(sample / "mixed.pcap.gz"))).iloc[:30_000]


@pytest.fixture(scope="module", params=["sqlite", "mysql", "postgresql"])
def server(request, tmp_path_factory):
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path_factory.mktemp('database')}/packets.db"
    else:
        with (servers.mariadb if request.param == "mysql" else servers.postgresql)() as server:
            yield server.url


@pytest.fixture
def url(server, monkeypatch):
    """An empty database."""
    monkeypatch.setenv("NETNORMAL_DATABASE_PASSWORD", servers.PASSWORD)
    found = address.url_of(server)
    with address.engine_of(found).connect() as connection, connection.begin():
        schema.METADATA.drop_all(connection)
    return found


def stored(url, *work, live=False, keep_days=None):
    base = database.Database(url, 500_000, live, keep_days)
    base.start()
    for one in work:
        one(base)
    base.close()
    return base


def rows(url, query):
    with address.engine_of(url).connect() as connection:
        return connection.execute(sa.text(query) if isinstance(query, str) else query).all()


def recorded(table, capture, sha256=None):
    def record(base):
        for at in range(0, len(table), 7_000):
            base.packets(table.iloc[at : at + 7_000], capture)
        base.ended(capture, sha256)

    return record


def test_every_packet_is_there_with_every_column(url, packets):
    stored(url, recorded(packets, sinks.Capture("lab")))
    found = rows(url, sa.select(schema.PACKET_ROWS).order_by(schema.PACKET_ROWS.c.packet))
    assert len(found) == len(packets)
    for name in tables.PACKETS.names:
        there = [row._mapping["time_ns" if name == "time" else name] for row in found]
        if tables.PACKETS[name].kind == "text":
            expected = packets[name].astype(object).where(packets[name].notna(), None).tolist()
        else:
            numbers = packets[name].to_numpy()
            expected = [None if n == -1 and tables.PACKETS[name].optional else n for n in numbers.tolist()]
        assert there == expected, name


def test_a_replay_a_restart_and_a_longer_part_store_nothing_twice(url, packets):
    stored(url, recorded(packets.iloc[:10_000], sinks.Capture("part"), None))
    stored(url, recorded(packets, sinks.Capture("whole", lambda: "ab"), "ab"))
    stored(url, recorded(packets, sinks.Capture("again", lambda: "ab"), "ab"))
    assert rows(url, "SELECT COUNT(*) FROM captures")[0][0] == 1
    assert rows(url, "SELECT COUNT(*) FROM packets")[0][0] == len(packets)


def test_a_part_of_a_capture_in_a_file_of_its_own_is_another_capture(url, packets):
    stored(url, recorded(packets, sinks.Capture("whole", lambda: "ab"), "ab"))
    odd = packets.iloc[::2].assign(packet=np.arange(1, len(packets) // 2 + 1))
    stored(url, recorded(odd, sinks.Capture("odd", lambda: "cd"), "cd"))
    assert rows(url, "SELECT COUNT(*) FROM captures")[0][0] == 2
    assert rows(url, "SELECT COUNT(*) FROM packets")[0][0] == len(packets) + len(odd)


def test_scores_and_incidents_are_replaced_and_hostile_text_is_text(url):
    values = [10, 10**18, "10.0.0.1", "10.0.0.2", "TCP/22", 0.5, 1e-300, 1, 12]
    score = pd.DataFrame([values], columns=tables.SCORES.names)
    grown = INCIDENT | {"packets": 24, "technique": "T1046"}
    stored(url, lambda base: base.scores(score), lambda base: base.incidents([INCIDENT]))
    stored(url, lambda base: base.scores(score.assign(score=0.75)), lambda base: base.incidents([grown]))
    assert [tuple(row) for row in rows(url, sa.select(schema.SCORE_ROWS))] == [
        (10, 10**18, "10.0.0.1", "10.0.0.2", "TCP/22", 0.75, 1e-300, 1, 12)
    ]
    (row,) = rows(url, sa.select(schema.INCIDENT_ROWS))
    assert (row.packets, row.technique, row.start_ns % 10) == (24, "T1046", 1)
    assert row.title == r"10.0.0.1 scanned'); DROP TABLE incidents; -- %s \ \x00\x1b[31m\u202e"
    assert json.loads(row.document) == grown


def test_old_rows_go_by_packet_time_and_a_packet_of_the_future_takes_none_along(url, packets):
    day = 86_400 * 10**9
    old = packets.iloc[:100].assign(time=packets["time"].iloc[:100] - 300 * day)
    new = packets.iloc[100:200].assign(time=packets["time"].iloc[100:200] - 290 * day)
    stored(url, recorded(old, sinks.Capture("old")), recorded(new, sinks.Capture("new")))
    assert rows(url, "SELECT COUNT(*) FROM packets")[0][0] == 200
    stored(url, recorded(new, sinks.Capture("new")), keep_days=20)
    assert rows(url, "SELECT COUNT(*) FROM packets")[0][0] == 200
    stored(url, recorded(new, sinks.Capture("new")), keep_days=5)
    assert rows(url, "SELECT COUNT(*) FROM packets")[0][0] == 100
    later = packets.iloc[:50_000:5].assign(time=new["time"].iloc[0] + np.arange(6_000) * day // 1000)
    stored(url, recorded(later, sinks.Capture("later")), keep_days=1)  # also what was new when the run began
    assert rows(url, "SELECT COUNT(*) FROM packets")[0][0] == 1001


def test_days_that_are_none_are_refused_in_words(run_script):
    done = run_script("capture.py", "--read", "x.pcap", "--keep-days", "0")
    assert done.returncode == 2
    assert "argument --keep-days: '0' is not a number of days above 0" in done.stderr


def test_an_incident_that_an_earlier_run_left_is_stored_after_a_restart(url):
    stored(url, lambda base: base.resumed([INCIDENT]), lambda base: base.incidents([INCIDENT | {"packets": 24}]))
    assert rows(url, "SELECT packets FROM incidents") == [(24,)]


def make_version_1(url):
    """Bring an empty database to what version 1 of the tables was."""
    with address.engine_of(url).connect() as connection, connection.begin():
        schema.METADATA.create_all(connection)
        connection.exec_driver_sql("ALTER TABLE incidents DROP COLUMN detected_ns")
        connection.execute(schema.SCHEMA_VERSION.insert(), {"version": 1, "since_ns": 0})


def shape(url):
    """Every column of every table as the database tells it: type, may be empty, comment."""
    with address.engine_of(url).connect() as connection:
        about = sa.inspect(connection)
        return {
            (name, column["name"]): (str(column["type"]), column["nullable"], column.get("comment"))
            for name in schema.METADATA.tables
            for column in about.get_columns(name)
        }


@pytest.mark.parametrize("killed", [False, True], ids=["", "killed between the change and its note"])
def test_an_earlier_version_is_brought_up_to_date_and_keeps_its_rows(url, packets, killed):
    stored(url)
    fresh = shape(url)
    with address.engine_of(url).connect() as connection, connection.begin():
        schema.METADATA.drop_all(connection)
    make_version_1(url)
    old = {"incident_id": "I1", "start_ns": 1, "end_ns": 2, "packets": 3, "bytes": 4, "score": 0.5, "severity": "low"}
    old |= dict.fromkeys(("pattern", "title", "source", "destinations", "services", "reasons"), "x")
    old |= dict.fromkeys(("display_filter", "document"), "x")
    with address.engine_of(url).connect() as connection, connection.begin():
        connection.execute(sa.insert(schema.INCIDENT_ROWS), old)
        if killed:
            schema.UPGRADES[2](connection)
    stored(url, recorded(packets.iloc[:100], sinks.Capture("lab")), lambda base: base.incidents([INCIDENT]))
    assert shape(url) == fresh
    found = rows(url, "SELECT incident_id, packets, detected_ns FROM incidents ORDER BY incident_id")
    detected = tables.nanoseconds(INCIDENT["detected"])
    assert [tuple(row) for row in found] == [("I0a1b2c3d", 12, detected), ("I1", 3, None)]
    assert [row[0] for row in rows(url, "SELECT version FROM schema_version ORDER BY version")] == [1, 2]
    assert rows(url, "SELECT COUNT(*) FROM packets")[0][0] == 100


def test_a_later_version_is_refused(url):
    stored(url)
    with address.engine_of(url).connect() as connection, connection.begin():
        connection.execute(schema.SCHEMA_VERSION.insert(), {"version": schema.VERSION + 1, "since_ns": 0})
    with pytest.raises(tables.InputError, match=f"is of version {schema.VERSION + 1}, and this netnormal knows"):
        stored(url)


def test_a_wrong_password_is_told_without_it(url, monkeypatch):
    if url.get_backend_name() == "sqlite":
        return
    wrong = url.set(password="wr0ng-password")
    with pytest.raises(tables.InputError) as error:
        stored(wrong, live=True)
    assert "wr0ng" not in str(error.value)
    assert "cannot be used" in str(error.value)


def test_while_it_is_down_rows_wait_up_to_a_bound_and_then_all_that_waited_are_stored(tmp_path, packets, caplog):
    port = servers.free_port()
    url = address.url_of(f"mysql://netnormal@127.0.0.1:{port}/netnormal")
    base = database.Database(url, 20_000, live=True)
    base.start()
    capture = sinks.Capture("eth0")
    for at in range(0, 30_000, 5_000):
        base.packets(packets.iloc[at : at + 5_000], capture)
    assert base.lost == capture.lost == 10_000
    # the database comes back: here as a file, since a server takes longer to start than a test should
    base._engine = address.engine_of(address.url_of(f"sqlite:///{tmp_path}/back.db"))
    for _ in range(100):
        if base.stored:
            break
        base._thread.join(0.1)
    base.close()
    back = address.url_of(f"sqlite:///{tmp_path}/back.db")
    assert rows(back, "SELECT COUNT(*) FROM packets")[0][0] == 20_000
    assert rows(back, "SELECT lost_packets FROM captures")[0][0] == 10_000
    assert len([r for r in caplog.messages if "does not answer" in r]) == 1
    assert len([r for r in caplog.messages if "what comes now is lost" in r]) == 1
    assert any("answers again; 10,000 rows were lost" in r for r in caplog.messages)


def test_a_server_that_is_killed_and_comes_back_has_all_that_was_not_counted_as_lost(packets, monkeypatch, caplog):
    monkeypatch.setenv("NETNORMAL_DATABASE_PASSWORD", servers.PASSWORD)
    with servers.mariadb() as server:
        url = address.url_of(server.url)
        base, capture = database.Database(url, 20_000, live=True), sinks.Capture("eth0")
        base.start()
        take = base.packets
        for at in range(0, 2_000, 500):
            take(packets.iloc[at : at + 500], capture)
        wait(lambda: base.stored == 2_000)
        server.kill()
        for at in range(2_000, 27_000, 500):  # 5,000 more than may wait
            take(packets.iloc[at : at + 500], capture)
        wait(lambda: "does not answer" in caplog.text)
        assert capture.lost >= 5_000
        server.start()
        wait(lambda: "answers again" in caplog.text)
        for at in range(27_000, 30_000, 500):
            take(packets.iloc[at : at + 500], capture)
        base.close()
        there = [row[0] for row in rows(url, "SELECT packet FROM packets ORDER BY packet")]
        lost = capture.lost
        assert there == [*range(1, 27_001 - lost), *range(27_001, 30_001)]
        assert rows(url, "SELECT lost_packets FROM captures") == [(lost,)]
        assert len([line for line in caplog.messages if "does not answer" in line]) == 1
        assert len([line for line in caplog.messages if "what comes now is lost" in line]) == 1
        assert any(f"answers again; {lost:,} rows were lost to it" in line for line in caplog.messages)

        # a run that reads files waits for it, and loses nothing
        again = database.Database(url, 20_000, live=False)
        again.start()
        server.kill()
        whole = sinks.Capture("office.pcap", lambda: "ab")
        reader = threading.Thread(target=recorded(packets, whole, "ab"), args=(again,))
        reader.start()
        wait(lambda: again._down)
        server.start()
        reader.join(60)
        again.close()
        assert again.lost == 0
        assert rows(url, "SELECT COUNT(*), COUNT(DISTINCT packet), MAX(packet) FROM packets") == [(30_000,) * 3]
        assert rows(url, "SELECT COUNT(*) FROM captures") == [(1,)]


def wait(done):
    for _ in range(600):
        if done():
            return
        time.sleep(0.1)
    raise AssertionError("it does not happen")


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ("mysql://u:pass@host/db", "has a password"),
        ("postgresql://u@host/db?password=x", "has a password"),
        ("oracle://u@host/db", "is no kind of database"),
        ("mysql://u@host", "names no database"),
        ("results.db", "is no URL"),
        ("sqlite:///:memory:", "names no database"),
    ],
)
def test_an_address_that_is_none_is_refused_in_a_sentence(given, words):
    with pytest.raises(tables.InputError, match=words) as error:
        address.url_of(given)
    assert "pass@" not in str(error.value)


def test_the_password_comes_from_the_environment_or_the_file_env(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("NETNORMAL_DATABASE", raising=False)
    monkeypatch.delenv("NETNORMAL_DATABASE_PASSWORD", raising=False)
    assert str(address.url_of("")) == "sqlite:///results/packet_logs.db"
    Path(".env").write_text("NETNORMAL_DATABASE=mysql://u:hidden@host/db\n")
    assert address.url_of("").password == "hidden"
    assert address.shown(address.url_of("")) == "mysql://u@host/db"
    monkeypatch.setenv("NETNORMAL_DATABASE_PASSWORD", "other")
    assert address.url_of("mysql://u@host/db").password == "other"


def test_capture_stores_what_it_writes(run_script, tmp_path, sample):
    for _ in range(2):
        done = run_script("capture.py", "--read", sample / "mixed.pcap.gz", "--count", 1000, "--database")
        assert done.returncode == 0, done.stderr
    url = address.url_of(f"sqlite:///{tmp_path}/results/packet_logs.db")
    assert rows(url, "SELECT COUNT(*), COUNT(DISTINCT capture_id) FROM packets") == [(1000, 1)]


def asked(url, name):
    """What a ready query answers: rows of plain numbers and texts."""
    found = rows(url, QUERIES[name].sql)
    return [{k: v if isinstance(v, str) else float(v) for k, v in row._mapping.items()} for row in found]


def test_the_ready_queries_answer_what_the_summary_says(url, packets):
    repeated = packets[packets["tcp_flags"] == "S"].iloc[::5]
    repeated = repeated.assign(time=repeated["time"] - 10**6)  # of a repeated SYN nobody knows which was answered
    lab = tables.concat([packets[1:], repeated]).sort_values("time", kind="stable", ignore_index=True)
    lab["packet"] = np.arange(1, len(lab) + 1)
    stored(url, recorded(packets.iloc[:500], sinks.Capture("before")), recorded(lab, sinks.Capture("lab")))
    statistics = traffic.TrafficStatistics()
    statistics.add(lab)
    summary = statistics.summary()

    (found,) = asked(url, "throughput")
    about = ("packets", "bytes", "duration_s")
    expected = {name: summary[name] for name in about} | summary["throughput"]
    del expected["series"]
    assert found == pytest.approx(expected)

    minute, length = lab["time"].to_numpy() // (60 * 10**9), lab["length"].to_numpy()
    expected = [(m * 60, int((minute == m).sum()), int(length[minute == m].sum())) for m in np.unique(minute).tolist()]
    assert [tuple(row.values()) for row in asked(url, "minutes")] == expected

    (found,) = asked(url, "latency")
    latency = summary["handshake_latency"]
    services = latency.pop("services")
    assert latency["count"] > 50
    assert found["handshakes"] == latency["count"]
    for name in ("median_s", "p95_s", "max_s"):
        assert found[name] == pytest.approx(latency[name], rel=0.006)  # the summary's are to 1 %

    by_service = {(row["server"], f"TCP/{row['server_port']:.0f}"): row for row in asked(url, "latency_by_service")}
    least = min(service["count"] for service in services)  # of several with as many each list may name others
    for service in services:
        row = by_service.get((service["address"], service["service"]))
        assert row or service["count"] == least
        for name in ("median_s", "p95_s", "max_s"):
            assert not row or row[name] == pytest.approx(service[name], rel=0.006)
    assert len(by_service) == len(services)

    for row, expected in zip(asked(url, "protocols"), summary["protocols"], strict=True):
        assert row.pop("protocol") == expected.pop("protocol")
        assert row == pytest.approx(expected)

    (found,) = asked(url, "addresses")
    assert found == {name: value for name, value in summary["distinct"].items() if name != "exact"}

    assert asked(url, "talkers") == summary["talkers"]["sources_by_bytes"]

    pairs = lab.astype({"src_ip": str, "dst_ip": str, "protocol": str})
    pairs = pairs[lab["src_ip"].notna()].groupby(["src_ip", "dst_ip", "protocol"])["length"].sum()
    assert [row["bytes"] for row in asked(url, "conversations")] == pairs.nlargest(20).tolist()


def test_the_incidents_of_the_last_day_come_worst_first(url):
    ends = {"a": ("low", "21T04:00:09"), "b": ("critical", "20T04:00:10"), "c": ("critical", "20T04:00:09")}
    told = [
        INCIDENT | {"incident_id": name, "severity": severity, "end": f"2026-11-{end}.000000000Z"}
        for name, (severity, end) in ends.items()
    ]
    stored(url, lambda base: base.incidents(told))
    found = rows(url, QUERIES["incidents"].sql)
    assert [row.incident_id for row in found] == ["b", "a"]
    assert int(found[0].unix_time) == tables.nanoseconds(INCIDENT["start"]) // 10**9


def test_the_queries_wait_as_long_for_an_answer_as_the_summary():
    assert queries.SYN_WAIT_NS == traffic.SYN_WAIT_NS
