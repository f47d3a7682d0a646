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


class Server:
    """A server program that can be stopped and started again, and is over at the end of a `with`."""

    def __init__(self, command: list[str], port: int, log: Path) -> None:
        self._command, self._port, self._log = command, port, log
        self._program: subprocess.Popen[bytes] | None = None
        self.url = ""

    @property
    def pid(self) -> int:
        assert self._program is not None
        return self._program.pid

    def start(self) -> None:
        with self._log.open("ab") as said:
            self._program = subprocess.Popen(self._command, stdout=said, stderr=said)
        for _ in range(600):
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self._port)) == 0:
                    return
            assert self._program.poll() is None, self._log.read_text()
            time.sleep(0.1)
        raise AssertionError(f"no answer from {self._command}")

    def stop(self) -> None:
        if self._program is not None:
            self._program.terminate()
            self._program.wait(30)
            self._program = None

    def kill(self) -> None:
        assert self._program is not None
        self._program.kill()
        self._program.wait(30)
        self._program = None

    def __enter__(self) -> Server:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


@contextmanager
def mariadb() -> Iterator[Server]:
    """A server; its `url`, without the password PASSWORD, is that of an empty database."""
    if not shutil.which("mariadbd") or not shutil.which("mariadb-install-db"):
        pytest.skip("there is no MariaDB server here")
    with _folder("mysql") as folder, tempfile.TemporaryDirectory() as logs:
        port, data = free_port(), folder / "data"
        install = ["mariadb-install-db", "--no-defaults", f"--datadir={data}", "--skip-test-db"]
        install += ["--auth-root-authentication-method=normal"]
        subprocess.run([*_as("mysql"), *install], check=True, capture_output=True, cwd="/")
        command = [*_as("mysql"), "mariadbd", "--no-defaults", f"--datadir={data}", f"--port={port}"]
        command += ["--bind-address=127.0.0.1", f"--socket={folder}/socket", f"--pid-file={folder}/pid"]
        with Server(command, port, Path(logs) / "log") as server:
            with pymysql.connect(unix_socket=f"{folder}/socket", user="root") as root, root.cursor() as cursor:
                cursor.execute("CREATE DATABASE netnormal")
                cursor.execute("CREATE USER netnormal@'127.0.0.1' IDENTIFIED BY %s", (PASSWORD,))
                cursor.execute("GRANT ALL ON netnormal.* TO netnormal@'127.0.0.1'")
            server.url = f"mysql://netnormal@127.0.0.1:{port}/netnormal"
            yield server


@contextmanager
def postgresql() -> Iterator[Server]:
    """A server; its `url`, without the password PASSWORD, is that of an empty database."""
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
        with Server([*_as("postgres"), *map(str, command)], port, Path(logs) / "log") as server:
            time.sleep(1)  # it listens before it answers
            server.url = f"postgresql://netnormal@127.0.0.1:{port}/postgres"
            yield server
