"""Channels for alerts, by Apprise: each has a queue and a thread of its own, so one that hangs holds up no other.

The address of a channel is a secret: it comes from the environment or .env, and nothing here says it.
"""

from __future__ import annotations

import logging
import re
import threading
import time
from collections import deque
from typing import Any
from urllib.parse import unquote

from netnormal.plain import plain
from netnormal.sinks.messages import Message
from netnormal.sinks.secrets import secrets
from netnormal.tables import InputError

PREFIX = "NETNORMAL_ALERT_"
RETRY_S = (2, 10, 60, 300, 900)  # before each further try; the last one is repeated
TEST_S = 60  # how long a test waits for an answer
#: Kinds of channels that show a text as it is, and whose host is no secret. All others get the harmless form.
_EXACT = {"mailto", "mailtos", "json", "jsons", "xml", "xmls", "form", "forms", "rsyslog", "syslog"}
_LOGS = {"rsyslog", "syslog"}
#: severity → what Apprise calls it
_KINDS = {"": "info", "low": "info", "medium": "warning", "high": "failure", "critical": "failure"}
_log = logging.getLogger("netnormal")


class Channel:
    """A way to tell people. `offer` never waits; `close` waits for what is queued, within bounds.

    name: what it is called where people read it. most_waiting: messages; beyond it the oldest is dropped. tries: how
    often one message is tried before it is given up.
    """

    def __init__(self, name: str, url: str, most_waiting: int, tries: int) -> None:
        self.name, self._most, self._tries = name, most_waiting, tries
        self._apprise, self._schema = _opened(name, url)
        self._hidden = _secret_parts(url, self._schema)
        self._queue: deque[Message] = deque()
        self._changed = threading.Condition()
        self._sending: Message | None = None
        self._closing = False
        self.failing = ""  # why it does not work at the moment
        self.lost = 0
        self._thread: threading.Thread | None = None

    def send(self, message: Message) -> str:
        """Try once. Returns "" if the channel took it, else why not, without secrets. May take a minute."""
        if self._schema in _LOGS:
            title, body = "", f"netnormal: {message.line()}"
        elif self._schema in _EXACT:
            title, body = message.title(), message.body()
        else:
            title, body = message.chat_title(), message.chat_body()
        kind = _KINDS[message.severity]
        try:
            done = self._apprise.notify(body, title, kind, body_format="text", log_level=logging.DEBUG)
        except Exception as error:  # of a channel's code, which is not ours: it must not end the run, nor stay unseen
            return self._masked(f"{type(error).__name__}: {error}")
        return "" if done else self._masked(_reason([(entry.level, entry.message) for entry in done.logs()]))

    def offer(self, message: Message) -> None:
        """Send it as soon as the channel takes it."""
        with self._changed:
            if len(self._queue) >= self._most:
                self._queue.popleft()
                self.lost += 1
                if self.lost == 1:
                    _log.warning("alerts by %s: %s wait, which is all that may: the oldest go", self.name, self._most)
            self._queue.append(message)
            if self._thread is None:
                self._thread = threading.Thread(target=self._work, name=f"alerts by {self.name}", daemon=True)
                self._thread.start()
            self._changed.notify_all()

    def owes(self, message: Message) -> bool:
        """Whether it was offered and not yet tried, by a channel that is not known to fail."""
        with self._changed:
            return not self.failing and any(one is message for one in (*self._queue, self._sending))

    def close(self, until: float | None) -> None:
        """Send what waits, until time.monotonic() is `until`; None: as long as its tries take. Says what was lost."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        if self._thread is not None:
            self._thread.join(None if until is None else max(0.0, until - time.monotonic()))
        with self._changed:
            self.lost += len(self._queue) + (self._sending is not None)
            if self.lost:
                why = f" ({self.failing})" if self.failing else ""
                _log.warning("alerts by %s: %s not sent%s", self.name, _messages(self.lost), why)

    def _work(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._queue or self._closing)
                if not self._queue:
                    return
                message = self._sending = self._queue.popleft()
            self._deliver(message)
            with self._changed:
                self._sending = None

    def _deliver(self, message: Message) -> None:
        for attempt in range(self._tries):
            why = self.send(message)
            if not why:
                if self.failing:
                    lost = f"; {_messages(self.lost)} lost" if self.lost else ""
                    _log.warning("alerts by %s work again%s", self.name, lost)
                self.failing = ""
                return
            if not self.failing:
                _log.warning("alerts by %s fail (%s): trying up to %s times each", self.name, why, self._tries)
            self.failing = why
            if attempt + 1 < self._tries:
                seconds = RETRY_S[min(attempt, len(RETRY_S) - 1)]
                with self._changed:
                    self._changed.wait_for(lambda: self._closing, seconds)
                    if self._closing:  # the end does not wait minutes: the tries left follow each other
                        self._changed.wait_for(lambda: False, 1)
        with self._changed:
            self.lost += 1

    def _masked(self, words: str) -> str:
        for part in self._hidden:
            words = words.replace(part, "***")
        return plain(" ".join(words.split()), 200)


def configured(most_waiting: int, tries: int) -> list[Channel]:
    """The channels that NETNORMAL_ALERT_… name. Raises InputError if one is no address of a channel."""
    return [
        Channel(name.removeprefix(PREFIX).lower(), url, most_waiting, tries) for name, url in secrets(PREFIX).items()
    ]


def tested(channels: list[Channel], message: Message) -> dict[str, str]:
    """Send a message by each channel at once: name → "" or why it was not sent."""
    came: dict[str, str] = {}

    def send(channel: Channel) -> None:
        came[channel.name] = channel.send(message)

    threads = [threading.Thread(target=send, args=(channel,), daemon=True) for channel in channels]
    for thread in threads:
        thread.start()
    until = time.monotonic() + TEST_S
    for thread in threads:
        thread.join(max(0.0, until - time.monotonic()))
    return {channel.name: came.get(channel.name, f"no answer in {TEST_S} s") for channel in channels}


def _opened(name: str, url: str) -> tuple[Any, str]:
    """An Apprise object with this channel, and its kind."""
    import apprise  # here, since few runs need it

    logger = logging.getLogger("apprise")
    logger.propagate = False  # what it says has addresses in it: we say it ourselves
    logger.setLevel(logging.DEBUG)
    asset = apprise.AppriseAsset(
        app_id="netnormal",
        app_desc="netnormal",
        app_url="",
        image_url_mask="",  # no pictures from elsewhere
        image_url_logo="",
        service_timeout=0,  # our threads may hang; Apprise's would keep the program from ending
        storage_mode=apprise.PersistentStoreMode.MEMORY,
    )
    found = apprise.Apprise.instantiate(url, asset=asset, suppress_exceptions=True)
    if found is None:
        what = "is no address of a channel"
        raise InputError(f"{PREFIX}{name.upper()}", what, "see docs/alerts.md for the shape of each kind")
    if getattr(found, "secure_mode", "") == "insecure":
        _log.warning("alerts by %s: mail without encryption: write mailtos:// (docs/alerts.md)", name)
    schema = url.partition(":")[0].lower()
    found.request_rate_per_sec = 0 if schema in _EXACT else min(1, found.request_rate_per_sec)  # seconds between two
    made = apprise.Apprise(asset=asset)
    made.add(found)
    return made, schema


def _reason(said: list[tuple[str, str]]) -> str:
    """The most telling of what Apprise said while sending failed: level and line."""
    causes = [line.partition("Exception: ")[2].rpartition("Caused by ")[2] for _, line in said if "Exception: " in line]
    warnings = [line for level, line in said if level not in ("TRACE", "DEBUG", "INFO")]
    found = (causes or warnings or ["no reason given"])[-1]
    plain_words = re.search(r"\[Errno -?\d+\] ([^\"')]+)", found)  # out of the exceptions it is wrapped in
    return plain_words[1] if plain_words else found


def _secret_parts(url: str, schema: str) -> list[str]:
    """What of an address must not be read anywhere, longest first."""
    rest = url.partition("://")[2]
    host = rest.rpartition("@")[2].partition("/")[0].partition("?")[0] if schema in _EXACT else ""
    shown = {*re.split(r"[:/]", host), "smtp", "mode", "from", "name"}
    if schema.startswith("mailto"):
        told = "&".join(re.findall(r"[?&](?:smtp|to|from|mode|name|cc|bcc|reply)=([^&]*)", rest))
        shown |= {told, *re.split(r"[@,&:]", unquote(told))}
    parts = set(re.split(r"[/?&=@:#,]", rest)) | {rest.rpartition("@")[0].partition(":")[2]}
    parts |= {unquote(part) for part in parts}
    return sorted((part for part in parts if len(part) > 2 and part not in shown), key=len, reverse=True)


def _messages(count: int) -> str:
    return f"{count:,} message{'s' if count > 1 else ''}"
