"""All of it at once, for real: an attack on the wire becomes a mail, and rows in two kinds of databases."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import sqlite3
import subprocess
import sys

import pytest
import receivers
import servers
import sqlalchemy as sa
from conftest import ROOT
from test_capture import wait_for
from test_live import Running, enter, needs_root

from netnormal import tables
from netnormal.sinks import address

pytestmark = [pytest.mark.xdist_group("chain"), pytest.mark.root, needs_root]


@pytest.fixture
def lan():
    """Two namespaces, joined by a cable: 10.99.0.1 in the first, 10.99.0.2 at v1 in the second."""
    if not shutil.which("ip") or not shutil.which("nmap"):
        pytest.skip("iproute2 or nmap is not installed")
    names = [f"nn{os.getpid()}{side}" for side in "ab"]
    try:
        for name in names:
            subprocess.run(["ip", "netns", "add", name], check=True)
        pair = ["link", "add", "v0", "netns", names[0], "type", "veth", "peer", "name", "v1", "netns", names[1]]
        subprocess.run(["ip", *pair], check=True)
        for number, name in enumerate(names):
            for words in (f"addr add 10.99.0.{number + 1}/24 dev v{number}", f"link set v{number} up"):
                subprocess.run(["ip", "-n", name, *words.split()], check=True)
        yield names
    finally:
        for name in names:
            subprocess.run(["ip", "netns", "del", name], check=False)


def test_a_scan_becomes_a_mail_and_rows_in_sqlite_and_mariadb(lan, chain, tmp_path):
    attacker, victim = lan
    pem, box = receivers.certificate(tmp_path), receivers.Mailbox()
    with servers.mariadb() as server, box.listening(pem, "starttls") as url:
        secrets = {"NETNORMAL_ALERT_MAIL": url, "NETNORMAL_DATABASE_PASSWORD": servers.PASSWORD}
        secrets |= {"SSL_CERT_FILE": str(pem)}
        capture = Running(victim, tmp_path, "--interface", "v1", "--database", "--user", "root")
        command = [sys.executable, ROOT / "detect.py", "--follow", "--database", server.url]
        command += ["--model", chain / "models" / "isolation_forest.pkl"]
        with (tmp_path / "said").open("wb") as said:
            detect = subprocess.Popen(command, cwd=tmp_path, env=os.environ | secrets, stdout=said, stderr=said)
        try:
            wait_for(lambda: "following" in (tmp_path / "said").read_text())
            scan = ["nmap", "-n", "-Pn", "-sS", "-p", "1-1000", "10.99.0.2"]
            subprocess.run(enter(attacker, *scan), check=True, capture_output=True, timeout=60)
            wait_for(lambda: any(" scanned " in mail["Subject"] for mail in box.mails))
            commands = subprocess.run(["ps", "-eww", "-o", "args"], check=True, capture_output=True, text=True).stdout
        finally:
            detect.send_signal(signal.SIGINT)
            detect.wait(60)
            capture.end(signal.SIGINT)
        text = (tmp_path / "said").read_text()
        assert detect.returncode == 0, text
        (incident,) = (
            one
            for one in json.loads((tmp_path / "results" / "live" / "incidents.json").read_text())
            if one["pattern"] == "port_scan"
        )
        (mail,) = (mail for mail in box.mails if " scanned " in mail["Subject"])
        assert re.search(r"medium: 10\.99\.0\.1 scanned [\d,]+ TCP ports of 10\.99\.0\.2 in ", mail["Subject"])
        assert incident["incident_id"] in mail.get_content()
        assert tables.nanoseconds(incident["detected"]) - tables.nanoseconds(incident["start"]) <= 15 * 10**9
        found = address.url_of(server.url).set(password=servers.PASSWORD)
        with address.engine_of(found).connect() as connection:
            told = connection.execute(sa.text("SELECT incident_id FROM incidents WHERE pattern = 'port_scan'")).all()
            assert told == [(incident["incident_id"],)]
            assert connection.scalar(sa.text("SELECT COUNT(*) FROM scores WHERE source = '10.99.0.1'")) >= 1000
    with sqlite3.connect(tmp_path / "results" / "packet_logs.db") as base:
        packets = "SELECT COUNT(*) FROM packets WHERE src_ip = '10.99.0.1' AND tcp_flags = 'S'"
        assert base.execute(packets).fetchone()[0] >= 1000
    assert f"--database {server.url}" in commands
    for secret in (receivers.URL_PASSWORD, servers.PASSWORD, "mailtos"):
        assert secret not in commands + text
