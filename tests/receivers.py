"""Real receivers of alerts for tests: a mail server with TLS and passwords, and a web server that takes webhooks."""

from __future__ import annotations

import datetime
import email
import email.policy
import ipaddress
import json
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from email.message import EmailMessage
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult, LoginPassword
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from servers import free_port

USER, PASSWORD = "alarm", "pa55-word/%"
URL_PASSWORD = "pa55-word%2F%25"


def certificate(folder: Path) -> Path:
    """A file with a key and a certificate for 127.0.0.1, signed by itself."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "netnormal test")])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=2))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    path = folder / "certificate.pem"
    secret = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    path.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, *secret) + made.public_bytes(serialization.Encoding.PEM)
    )
    return path


class Mailbox:
    """A mail server on 127.0.0.1 that takes mail over TLS from USER with PASSWORD only, and keeps it."""

    def __init__(self) -> None:
        self.mails: list[EmailMessage] = []
        self.envelopes: list[tuple[str, list[str]]] = []
        self.came = threading.Condition()

    async def handle_DATA(self, server: object, session: object, envelope: Any) -> str:  # noqa: N802
        with self.came:
            self.mails.append(email.message_from_bytes(envelope.content, policy=email.policy.default))  # type: ignore[arg-type]
            self.envelopes.append((envelope.mail_from, envelope.rcpt_tos))
            self.came.notify_all()
        return "250 kept"

    def wait(self, count: int, seconds: float = 30) -> list[EmailMessage]:
        with self.came:
            assert self.came.wait_for(lambda: len(self.mails) >= count, seconds), f"{len(self.mails)} of {count} mails"
            return list(self.mails)

    @contextmanager
    def listening(self, pem: Path, mode: str) -> Iterator[str]:
        """The address of a channel to it; mode: starttls or ssl, from the first byte."""
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(pem)
        options: dict[str, Any] = {"ssl_context": context} if mode == "ssl" else {"tls_context": context}
        port = free_port()
        server = Controller(
            self,
            "127.0.0.1",
            port,
            authenticator=_authenticate,
            auth_required=True,
            auth_require_tls=mode != "ssl",
            require_starttls=mode != "ssl",
            **options,
        )
        server.start()
        try:
            given = f"{USER}:{URL_PASSWORD}@example.org:{port}?smtp=127.0.0.1&mode={mode}"
            yield f"mailtos://{given}&from=netnormal@example.org&to=ops@example.org"
        finally:
            server.stop()


def _authenticate(server: object, session: object, envelope: object, mechanism: str, data: Any) -> AuthResult:
    right = isinstance(data, LoginPassword) and (data.login, data.password) == (USER.encode(), PASSWORD.encode())
    return AuthResult(success=right, handled=right)


class Webhook:
    """A web server on 127.0.0.1: `answers` are its next status codes (then 200); 0: it keeps silent until the end."""

    def __init__(self) -> None:
        self.took: list[dict[str, Any]] = []
        self.asked = 0
        self.answers: list[int] = []
        self.came = threading.Condition()
        self._over = threading.Event()

    def wait(self, count: int, seconds: float = 30) -> list[dict[str, Any]]:
        with self.came:
            assert self.came.wait_for(lambda: len(self.took) >= count, seconds), f"{len(self.took)} of {count}"
            return list(self.took)

    @contextmanager
    def listening(self) -> Iterator[str]:
        """The address of a channel to it, with a secret in it."""
        hook = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                text = self.rfile.read(int(self.headers["Content-Length"]))
                with hook.came:
                    hook.asked += 1
                    code = hook.answers.pop(0) if hook.answers else 200
                if code == 0:
                    hook._over.wait(60)
                    return
                self.send_response(code)
                self.end_headers()
                with hook.came:
                    if code == 200:
                        hook.took.append(json.loads(text))
                    hook.came.notify_all()

            def log_message(self, *_: object) -> None:
                """Says nothing."""

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield f"json://127.0.0.1:{server.server_address[1]}/hidden-token"
        finally:
            self._over.set()
            server.shutdown()
            server.server_close()
            thread.join()
