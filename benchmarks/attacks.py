"""How long after its start an attack is a sentence on the terminal, and a mail; and whether ordinary use is one.

sudo python benchmarks/attacks.py [BASELINE_S BENIGN_S]      480 600 without; takes three minutes more than both

In network namespaces: a web server, a login service, two clients that browse, and an attacker with nmap and hping3.
capture.py and `detect.py --follow` run as their users run them, into SQLite and MariaDB; mail goes to a local server
with TLS. The model is learnt from the first BASELINE_S seconds, which are not the ones that are judged.
"""

from __future__ import annotations

import math
import os
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import receivers
import servers
import sqlalchemy as sa

from netnormal.sinks import address

ROOT = Path(__file__).resolve().parent.parent
HOSTS = {"server": 2, "anna": 11, "ben": 12, "mallory": 66}
SERVICE = """
import http.server, socketserver, sys, threading
class Pages(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_GET(self):
        size = 200 + hash(self.path) % 60000
        self.send_response(200); self.send_header("Content-Length", str(size)); self.end_headers()
        self.wfile.write(b"x" * size)
    def log_message(self, *_): pass
class Login(socketserver.StreamRequestHandler):
    def handle(self):
        self.wfile.write(b"SSH-2.0-Test\\r\\n"); self.rfile.readline(); self.wfile.write(b"denied\\r\\n")
socketserver.ThreadingTCPServer.allow_reuse_address = True
threading.Thread(target=socketserver.ThreadingTCPServer(("", 22), Login).serve_forever, daemon=True).start()
http.server.ThreadingHTTPServer(("", 80), Pages).serve_forever()
"""
BROWSE = """
import random, sys, time, urllib.request
chance = random.Random(sys.argv[1])
while True:
    for _ in range(chance.randint(1, 6)):
        page = f"http://10.99.0.2/{chance.randint(0, 50)}"
        urllib.request.urlopen(page, timeout=30).read()
    time.sleep(chance.expovariate(0.5))
"""
GUESS = """
import socket, time
for word in range(20):
    with socket.create_connection(("10.99.0.2", 22)) as s:
        s.recv(100); s.sendall(b"password%d\\r\\n" % word); s.recv(100)
    time.sleep(0.4)
"""
ATTACKS = {
    "scanned": ["nmap", "-n", "-Pn", "-sS", "-p", "1-1000", "10.99.0.2"],
    "flooded": ["hping3", "-q", "-S", "-p", "80", "--rand-source", "-i", "u1000", "-c", "8000", "10.99.0.2"],
    "pings": ["hping3", "-q", "-1", "-i", "u500", "-c", "16000", "10.99.0.2"],
    "logins": [sys.executable, "-c", GUESS],
}


def main() -> None:
    baseline_s, benign_s = map(float, sys.argv[1:] or (480, 600))
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        (folder / "params.yaml").write_text((ROOT / "params.yaml").read_text("utf-8"), "utf-8")
        names = stack.enter_context(network())
        start(stack, names["server"], folder, sys.executable, "-c", SERVICE)
        time.sleep(2)
        for host in ("anna", "ben"):
            start(stack, names[host], folder, sys.executable, "-c", BROWSE, host)
        capture = [sys.executable, ROOT / "capture.py", "--interface", "br0", "--user", "root"]
        subprocess.run(enter(names["server"], *capture, "--duration", baseline_s, "-q"), cwd=folder, check=True)
        for script in ("extract_features.py", "train_model.py"):
            subprocess.run([sys.executable, ROOT / script, "-q"], cwd=folder, check=True)
        judge(stack, folder, names, capture, benign_s)


def judge(stack: ExitStack, folder: Path, names: dict[str, str], capture: list[object], benign_s: float) -> None:
    box, pem = receivers.Mailbox(), receivers.certificate(folder)
    url = stack.enter_context(box.listening(pem, "starttls"))
    mariadb = stack.enter_context(servers.mariadb())
    secrets = {"NETNORMAL_ALERT_MAIL": url, "NETNORMAL_DATABASE_PASSWORD": servers.PASSWORD, "SSL_CERT_FILE": str(pem)}
    recorder = start(stack, names["server"], folder, *capture, "--database")
    said = stack.enter_context((folder / "said").open("w+b"))
    follow = [sys.executable, ROOT / "detect.py", "--follow", "--database", mariadb.url]
    detect = subprocess.Popen(list(map(str, follow)), cwd=folder, env=os.environ | secrets, stdout=said, stderr=said)
    stack.callback(detect.kill)
    time.sleep(benign_s)
    print(f"{benign_s:g} s of ordinary use: {len(box.mails)} mails", *subjects(box), sep="\n  ", flush=True)
    for word, attack in ATTACKS.items():
        known, began, wall = len(box.mails), time.monotonic(), time.time()
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        attacking = subprocess.Popen(enter(names["mallory"], *attack), **quiet)
        found = {}
        while len(found) < 2 and time.monotonic() < began + 60:
            if word in (folder / "said").read_text():
                found.setdefault("terminal", time.monotonic() - began)
            if any(word in mail["Subject"] for mail in box.mails[known:]):
                found.setdefault("mail", time.monotonic() - began)
            time.sleep(0.05)
        attacking.wait(60)
        said_after = {way: f"{seconds:.1f} s" for way, seconds in found.items()}
        print(
            word,
            said_after,
            f"its first packet came after {max(first_packet(folder, word) - wall, 0):.0f} s",
            flush=True,
        )
        time.sleep(15)
    for program in (detect, recorder):
        program.send_signal(signal.SIGTERM)  # SIGINT is ignored by what began in the background
        program.wait(60)
    print((folder / "said").read_text())
    print("all mails:", *subjects(box), sep="\n  ")
    with sqlite3.connect(folder / "results" / "packet_logs.db") as base:
        print(f"SQLite: {base.execute('SELECT COUNT(*) FROM packets').fetchone()[0]:,} packets")
    with address.engine_of(address.url_of(mariadb.url).set(password=servers.PASSWORD)).connect() as connection:
        for table in ("scores", "incidents"):
            print(f"MariaDB: {connection.scalar(sa.text(f'SELECT COUNT(*) FROM {table}')):,} {table}")


def first_packet(folder: Path, word: str) -> float:
    """When the incident with `word` in its sentence began, by the terminal [s of the epoch, whole]; NaN without one."""
    day = datetime.now(UTC).date()
    clocks = [line.split()[0] for line in (folder / "said").read_text().splitlines() if word in line]
    return datetime.fromisoformat(f"{day}T{clocks[0]}+00:00").timestamp() if clocks else math.nan


def subjects(box: receivers.Mailbox) -> list[str]:
    return [mail["Subject"] for mail in box.mails]


@contextmanager
def network() -> Iterator[dict[str, str]]:
    """Namespaces on one bridge, which is the server's interface: host → namespace."""
    names = {host: f"nn{os.getpid()}{host}" for host in HOSTS}
    try:
        for name in names.values():
            ip("netns", "add", name)
        server = names["server"]
        ip("-n", server, "link", "add", "br0", "type", "bridge")
        ip("-n", server, "link", "set", "br0", "up")
        ip("-n", server, "addr", "add", "10.99.0.2/24", "dev", "br0")
        for host in list(HOSTS)[1:]:
            name = names[host]
            ip("link", "add", "eth0", "netns", name, "type", "veth", "peer", "name", host, "netns", server)
            ip("-n", server, "link", "set", host, "master", "br0", "up")
            ip("-n", name, "addr", "add", f"10.99.0.{HOSTS[host]}/24", "dev", "eth0")
            ip("-n", name, "link", "set", "eth0", "up")
        yield names
    finally:
        for name in names.values():
            subprocess.run(["ip", "netns", "del", name], check=False)


def ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True)


def enter(namespace: str, *command: object) -> list[str]:
    return ["ip", "netns", "exec", namespace, *map(str, command)]


def start(stack: ExitStack, namespace: str, folder: Path, *command: object) -> subprocess.Popen[bytes]:
    program = subprocess.Popen(enter(namespace, *command), cwd=folder, stderr=subprocess.DEVNULL)
    stack.callback(program.kill)
    return program


if __name__ == "__main__":
    main()
