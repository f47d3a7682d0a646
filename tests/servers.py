"""Real database servers for tests: started in a temporary folder as a user without rights, on a free local port."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pymysql
import pytest

PASSWORD = "s3cret'\"%word"
_POSTGRES = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"))


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _as(user: str) -> list[str]:
    return ["setpriv", f"--reuid={user}", f"--regid={user}", "--init-groups"] if os.geteuid() == 0 else []


@contextmanager
def _folder(user: str) -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="netnormal-", dir="/tmp"))
    try:
        if os.geteuid() == 0:
            shutil.chown(folder, user, user)
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _running(command: list[str], port: int, log: Path) -> Iterator[None]:
    with log.open("wb") as said, subprocess.Popen(command, stdout=said, stderr=said) as server:
        try:
            for _ in range(600):
                with socket.socket() as probe:
                    if probe.connect_ex(("127.0.0.1", port)) == 0:
                        break
                assert server.poll() is None, log.read_text()
                time.sleep(0.1)
            yield
        finally:
            server.terminate()
            server.wait(30)


@contextmanager
def mariadb() -> Iterator[str]:
    """The URL, without its password PASSWORD, of an empty database."""
    if not shutil.which("mariadbd") or not shutil.which("mariadb-install-db"):
        pytest.skip("there is no MariaDB server here")
    with _folder("mysql") as folder, tempfile.TemporaryDirectory() as logs:
        port, data = free_port(), folder / "data"
        install = ["mariadb-install-db", "--no-defaults", f"--datadir={data}", "--skip-test-db"]
        install += ["--auth-root-authentication-method=normal"]
        subprocess.run([*_as("mysql"), *install], check=True, capture_output=True, cwd="/")
        command = [*_as("mysql"), "mariadbd", "--no-defaults", f"--datadir={data}", f"--port={port}"]
        command += ["--bind-address=127.0.0.1", f"--socket={folder}/socket", f"--pid-file={folder}/pid"]
        with _running(command, port, Path(logs) / "log"):
            with pymysql.connect(unix_socket=f"{folder}/socket", user="root") as root, root.cursor() as cursor:
                cursor.execute("CREATE DATABASE netnormal")
                cursor.execute("CREATE USER netnormal@'127.0.0.1' IDENTIFIED BY %s", (PASSWORD,))
                cursor.execute("GRANT ALL ON netnormal.* TO netnormal@'127.0.0.1'")
            yield f"mysql://netnormal@127.0.0.1:{port}/netnormal"


@contextmanager
def postgresql() -> Iterator[str]:
    """The URL, without its password PASSWORD, of an empty database."""
    if not _POSTGRES:
        pytest.skip("there is no PostgreSQL server here")
    programs = _POSTGRES[-1].parent
    with _folder("postgres") as folder, tempfile.TemporaryDirectory() as logs:
        port, secret = free_port(), folder / "secret"
        secret.write_text(PASSWORD)
        secret.chmod(0o644)
        init = [programs / "initdb", "-D", folder / "data", "-U", "netnormal", "--pwfile", secret, "--no-sync"]
        init += ["-A", "scram-sha-256", "-E", "UTF8", "--locale=C"]
        subprocess.run([*_as("postgres"), *map(str, init)], check=True, capture_output=True, cwd="/")
        command = [programs / "postgres", "-D", folder / "data", "-k", folder, "-p", str(port), "-h", "127.0.0.1"]
        with _running([*_as("postgres"), *map(str, command)], port, Path(logs) / "log"):
            time.sleep(1)  # it listens before it answers
            yield f"postgresql://netnormal@127.0.0.1:{port}/postgres"
