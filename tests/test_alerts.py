"""Alerts: who is told what, and when; to a real mail server with TLS and a real web server; nothing stops detection."""

from __future__ import annotations

import dataclasses
import io
import json
import re
import socket
import time

import pandas as pd
import pytest
import receivers
from conftest import ROOT
from dotenv import dotenv_values

import detect
from netnormal import settings, sinks, suppressions, tables
from netnormal.sinks import alerts, channels, messages

pytestmark = pytest.mark.xdist_group("chain")
SECOND = 1_000_000_000
START = 1_800_000_000 * SECOND
HOSTILE = "x\r\nBcc: all@example.org\r\n\r\n<script>alert(1)</script> <!channel> @everyone [a](http://evil.example) `"


def document(number=1, **changes):
    start = tables.iso(START)
    made = {"incident_id": f"I{number:08x}", "start": start, "end": start, "detected": start, "severity": "high"}
    made |= {"pattern": "port_scan", "title": f"10.0.0.{number} scanned", "technique": "T1046", "score": 0.99}
    made |= {"source": f"10.0.0.{number}", "destinations": ["10.0.0.200"], "services": ["TCP/22"], "packets": 12}
    return made | {"bytes": 720, "reasons": "many", "display_filter": "ip.addr == 10.0.0.1 && tcp"} | changes


class Kept:
    """A channel that keeps what it is offered."""

    def __init__(self):
        self.name, self.failing, self.lost, self.messages, self.slow = "kept", "", 0, [], False

    def offer(self, message):
        self.messages.append(message)

    def owes(self, message):
        return self.slow

    def close(self, until):
        pass

    @property
    def subjects(self):
        return [message.subject for message in self.messages]


class Desk:
    """An Alerts sink with a channel that keeps, and both clocks in hand."""

    def __init__(self, live=True, rules="", memory=None, **changes):
        given = dataclasses.replace(settings.load(ROOT / "params.yaml").detect.alerts, **changes)
        self.channel, self.wall, self.packets = Kept(), 0.0, START
        self.sink = alerts.Alerts(
            given, [self.channel], rules or suppressions.Suppressions(), 10, live, memory, self.now
        )
        self.sink.tick(START)

    def now(self):
        return self.wall

    def passes(self, seconds, wall=None):
        self.packets += round(seconds * SECOND)
        self.wall += seconds if wall is None else wall
        self.sink.tick(self.packets)

    def tell(self, *documents):
        self.sink.incidents(documents)
        return self.channel.subjects


# ---------------------------------------------------------------- what is told, and when


def test_an_incident_is_told_once_however_it_grows_and_again_if_it_gets_worse():
    desk = Desk()
    assert desk.tell(document(severity="medium")) == ["10.0.0.1 scanned"]
    assert len(desk.tell(document(severity="medium", packets=99), document(severity="medium", packets=100))) == 1
    assert len(desk.tell(document(severity="critical"))) == 2
    assert len(desk.tell(document(severity="high"))) == 2


def test_below_the_severity_it_waits_for_the_digest_and_info_is_never_told():
    desk = Desk(severity="high", digest_severity="low", digest_s=3600)
    desk.tell(document(1, severity="medium"), document(2, severity="low"), document(3, severity="info"))
    desk.passes(3599)
    assert desk.channel.messages == []
    desk.passes(1)
    (digest,) = desk.channel.messages
    assert digest.subject == "2 incidents (1 medium, 1 low)"
    assert digest.severity == "medium"
    assert "10.0.0.1 scanned (I00000001)" in digest.text
    assert "10.0.0.3" not in digest.text
    desk.tell(document(1, severity="medium"))
    desk.passes(7200)
    assert len(desk.channel.messages) == 1


def test_the_same_source_and_pattern_is_told_again_after_the_interval_only():
    desk = Desk(alert_interval_s=900, digest_s=3600)
    desk.tell(document(1), document(2, source="10.0.0.1"), document(3, source="10.0.0.1", pattern="syn_flood"))
    assert desk.channel.subjects == ["10.0.0.1 scanned", "10.0.0.3 scanned"]
    desk.passes(899)
    assert len(desk.tell(document(2, source="10.0.0.1", packets=13))) == 2
    desk.passes(1)
    assert len(desk.tell(document(4, source="10.0.0.1"))) == 3
    desk.passes(3600)
    assert desk.channel.subjects[3:] == ["1 incident (1 high)"]


def test_what_waited_and_is_told_at_once_after_all_is_in_no_digest():
    desk = Desk(alert_interval_s=900, digest_s=3600)
    desk.tell(document(1), document(2, source="10.0.0.1"))
    desk.passes(900)
    desk.tell(document(2, source="10.0.0.1", packets=13))
    desk.passes(3600)
    desk.sink.close()
    assert len(desk.channel.messages) == 2


@pytest.mark.parametrize(("packets", "wall"), [(-86_400, 1), (1, -86_400)])
def test_a_clock_that_was_set_back_silences_nothing(packets, wall):
    desk = Desk(per_hour=1)
    desk.tell(document(1))
    desk.passes(packets, wall=wall)
    assert len(desk.tell(document(2, source="10.0.0.1"))) == 2


def test_in_an_hour_no_more_than_the_ceiling_and_the_rest_in_the_digest():
    desk = Desk(per_hour=5, digest_s=1800)
    desk.tell(*(document(number) for number in range(1, 9)))
    assert len(desk.channel.messages) == 5
    desk.passes(1800)
    assert desk.channel.subjects[5:] == ["3 incidents (3 high)"]
    assert len(desk.tell(document(20))) == 6
    desk.passes(1800)
    assert desk.channel.subjects[6:] == ["1 incident (1 high)"]
    assert len(desk.tell(document(21))) == 8


def test_who_catches_up_with_a_week_is_not_sent_the_messages_of_a_week():
    desk = Desk(per_hour=5, digest_s=3600)
    for hour in range(100):
        desk.tell(document(hour + 1))
        desk.passes(3600, wall=1)
    assert len(desk.channel.messages) == 5
    desk.passes(1, wall=3600)
    assert desk.channel.subjects[5:] == ["95 incidents (95 high)"]
    assert "75 more" in desk.channel.messages[5].text


def test_suppressed_incidents_are_not_told_at_once_nor_in_a_digest_nor_at_the_end(tmp_path):
    (tmp_path / "rules.csv").write_text("source,destination,pattern,expires,reason\n10.0.0.1,,,,ours\n")
    desk = Desk(rules=suppressions.read(tmp_path / "rules.csv"))
    desk.tell(document(1), document(1, severity="low"))
    desk.passes(10_000)
    desk.sink.close()
    assert desk.channel.messages == []


def test_a_run_over_files_sends_one_message_at_its_end_and_none_if_nothing_was_found():
    desk = Desk(live=False, rules="")
    desk.tell(*(document(number) for number in range(1, 31)))
    assert desk.channel.messages == []
    desk.sink.close()
    assert desk.channel.subjects == ["30 incidents (30 high)"]
    empty = Desk(live=False)
    empty.sink.close()
    assert empty.channel.messages == []


def test_what_waits_is_told_when_detection_ends_unless_digests_are_off():
    for digest_s, count in ((3600, 1), (0, 0)):
        desk = Desk(digest_s=digest_s)
        desk.tell(document(severity="low"))
        desk.sink.close()
        assert len(desk.channel.messages) == count


def test_nothing_grows_without_bound():
    desk = Desk(per_hour=1)
    for start in range(0, 30_000, 1000):
        desk.tell(*(document(number, source=f"s{number}") for number in range(start, start + 1000)))
    assert len(desk.sink._pending) == alerts.MOST_PENDING
    assert len(desk.sink._told) <= alerts.MOST_KNOWN
    desk.passes(3600)
    assert desk.channel.subjects[1].startswith("29,999 incidents")


def test_a_restart_tells_nothing_twice_and_forgets_nothing(tmp_path):
    memory = tmp_path / "live" / "alerts.json"
    first = Desk(memory=memory, severity="medium", per_hour=2)
    first.tell(document(1), document(2), document(3), document(4, severity="low"))
    assert len(first.channel.messages) == 2
    second = Desk(memory=memory, severity="medium", per_hour=2)
    second.tell(document(1, packets=20), document(5))
    assert second.channel.messages == []
    second.passes(3600)
    assert second.channel.subjects == ["3 incidents (2 high, 1 low)"]


def test_what_was_not_tried_before_a_kill_is_told_after_it(tmp_path):
    memory = tmp_path / "alerts.json"
    first = Desk(memory=memory)
    first.tell(document(1))
    first.channel.slow = True
    first.tell(document(2))
    second = Desk(memory=memory)
    assert second.tell(document(1), document(2)) == ["10.0.0.2 scanned"]
    first.channel.slow = False
    first.passes(1)
    assert Desk(memory=memory).tell(document(1), document(2)) == []


def test_a_broken_memory_is_told_in_a_sentence(tmp_path):
    (tmp_path / "alerts.json").write_text('{"told": []}')
    with pytest.raises(tables.InputError, match="is no memory of alerts"):
        Desk(memory=tmp_path / "alerts.json")


def window(number, packets, anomalous, window_s=10):
    values = [window_s, START + number * 10 * SECOND, "10.0.0.1", "10.0.0.2", "TCP/22", 0.5, 0.1]
    rows = [[*values, 0, packets - anomalous], [*values, 1, anomalous]]
    return pd.DataFrame(rows, columns=tables.SCORES.names)


def test_a_share_of_anomalous_packets_over_the_threshold_is_told_once_while_it_lasts():
    desk = Desk(anomaly_rate_threshold=0.5, anomaly_rate_s=60, anomaly_rate_packets=1000, alert_interval_s=60)
    for number in range(5):
        desk.sink.scores(window(number, 1000, 900))
        desk.sink.scores(window(number, 10**6, 0, window_s=60))
        desk.passes(10)
    assert desk.channel.messages == []  # not a whole minute yet
    for number in range(5, 20):
        desk.sink.scores(window(number, 1000, 900))
        desk.sink.scores(window(number, 1000, 900))  # a window that is judged again counts once
        desk.passes(10)
    assert "Of 6,000 packets in 60 s" in desk.channel.messages[0].text
    assert desk.channel.subjects == ["90% of all packets are anomalous"]
    for number in range(20, 30):
        desk.sink.scores(window(number, 1000, 100))
        desk.passes(10)
    for number in range(30, 40):
        desk.sink.scores(window(number, 1000, 1000))
        desk.passes(10)
    assert len(desk.channel.messages) == 2


def test_few_packets_have_no_share():
    desk = Desk(anomaly_rate_s=60, anomaly_rate_packets=1000)
    for number in range(20):
        desk.sink.scores(window(number, 10, 10))
    assert desk.channel.messages == []


# ---------------------------------------------------------------- what a message says


def test_text_from_the_network_is_one_plain_line_and_means_nothing_to_a_chat():
    message = messages.of_incident(document(title=HOSTILE, source=HOSTILE, reasons=HOSTILE))
    assert "\r" not in message.title() + message.body()
    assert "\n" not in message.title() + message.chat_title() + message.line()
    assert "http://" not in message.body()
    for text in (message.chat_title(), message.chat_body()):
        assert not set("<>@`[]!*&") & set(text)
    assert "Wireshark     ip.addr == 10.0.0.1 && tcp" in message.body()
    assert "Wireshark" not in message.chat_body()


@pytest.mark.parametrize(
    "url",
    [
        "slack://T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ",
        "slack://T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ?blocks=yes",
        "workflows://prod.example.com:443/643e69f83c8944/8b25d3a4a4e6d",
        "discord://4174216298/JHMHI8qBe7bk2ZwO5U711o3dV_js",
        "https://hooks.slack.com/services/T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ",
    ],
)
def test_a_chat_gets_no_mention_link_or_markup(url, monkeypatch):
    import requests

    sent = []

    def post(self, **given):
        sent.append(str(given.get("json") or given.get("data")))
        answer = requests.Response()
        answer.status_code, answer._content = 200, b"ok"
        return answer

    monkeypatch.setattr(requests.Session, "request", post)
    channel = channels.Channel("chat", url, 10, 1)
    assert channel.send(messages.of_incident(document(title=HOSTILE, reasons=HOSTILE))) == ""
    (text,) = sent
    assert "scan" in text
    for harm in ("<!", "@everyone", "@channel", "](http", "http://evil", "github", "script>", "<at>"):
        assert harm not in text


# ---------------------------------------------------------------- by mail


@pytest.fixture(scope="module")
def pem(tmp_path_factory):
    return receivers.certificate(tmp_path_factory.mktemp("tls"))


@pytest.mark.parametrize("mode", ["starttls", "ssl"])
def test_a_mail_over_tls_is_plain_text_with_one_subject(mode, pem, monkeypatch):
    monkeypatch.setenv("SSL_CERT_FILE", str(pem))
    box = receivers.Mailbox()
    with box.listening(pem, mode) as url:
        channel = channels.Channel("mail", url, 10, 1)
        assert channel.send(messages.of_incident(document(title=HOSTILE))) == ""
    (mail,) = box.mails
    assert box.envelopes == [("netnormal@example.org", ["ops@example.org"])]
    assert mail.get_content_type() == "text/plain"
    assert mail["Bcc"] is None
    assert mail["Subject"].startswith("[netnormal] high: x\\x0d\\x0aBcc: all@example.org")
    assert mail.get_content().startswith("x\\x0d\\x0aBcc: all@example.org")
    assert "Wireshark     ip.addr == 10.0.0.1 && tcp" in mail.get_content()


def test_a_mail_server_without_a_trusted_certificate_or_with_another_password_gets_nothing(pem, monkeypatch):
    box = receivers.Mailbox()
    with box.listening(pem, "starttls") as url:
        assert "certificate verify failed" in channels.Channel("mail", url, 10, 1).send(messages.test())
        monkeypatch.setenv("SSL_CERT_FILE", str(pem))
        wrong = channels.Channel("mail", url.replace(receivers.URL_PASSWORD, "wr0ng-word"), 10, 1)
        why = wrong.send(messages.test())
        assert "uthentication" in why
        assert "wr0ng" not in why
    assert box.mails == []


def test_mail_in_the_clear_is_warned_of(caplog):
    channels.Channel("mail", "mailto://u:geheimes@example.org?smtp=mail.example.org", 10, 1)
    channels.Channel("safe", "mailtos://u:geheimes@example.org?smtp=mail.example.org", 10, 1)
    said = [record.getMessage() for record in caplog.records if record.name == "netnormal"]
    assert said == ["alerts by mail: mail without encryption: write mailtos:// (docs/alerts.md)"]


def test_syslog_gets_one_line():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as receiver:
        receiver.bind(("127.0.0.1", 0))
        receiver.settimeout(30)
        channel = channels.Channel("log", f"rsyslog://127.0.0.1:{receiver.getsockname()[1]}/local0?logpid=no", 10, 1)
        assert channel.send(messages.of_incident(document(title=HOSTILE))) == ""
        line = receiver.recv(10_000).decode()
    local0_critical = 16 * 8 + 2  # RFC 5424, 6.2.1
    assert line.startswith(f"<{local0_critical}>- netnormal: high: x\\x0d\\x0aBcc: all@example.org")
    assert line.isprintable()


# ---------------------------------------------------------------- channels that fail


def test_a_channel_that_fails_is_said_once_tried_again_and_no_secret_is_said(caplog, monkeypatch):
    monkeypatch.setattr(channels, "RETRY_S", (0.05,))
    hook = receivers.Webhook()
    hook.answers = [500, 503, 200, 500, 500, 500, 200]
    with hook.listening() as url:
        channel = channels.Channel("hook", url, 10, 3)
        for number in (1, 2, 3):
            channel.offer(messages.of_incident(document(number)))
        took = hook.wait(2)
        channel.close(time.monotonic() + 10)
    assert [one["title"] for one in took] == [f"[netnormal] high: 10.0.0.{n} scanned" for n in (1, 3)]
    said = [record.getMessage() for record in caplog.records if record.name == "netnormal"]
    assert len(said) == 5
    assert "alerts by hook fail (" in said[0]
    assert "500" in said[0]
    assert said[1] == "alerts by hook work again"
    assert said[3] == "alerts by hook work again; 1 message lost"
    assert said[4] == "alerts by hook: 1 message not sent"
    assert "hidden-token" not in "".join(said)


def test_a_channel_that_hangs_holds_up_nobody(caplog):
    silent, hook = receivers.Webhook(), receivers.Webhook()
    silent.answers = [0] * 100
    with silent.listening() as first, hook.listening() as second:
        slow = channels.Channel("slow", first + "?rto=60", 2, 3)
        fast = channels.Channel("fast", second, 10, 3)
        given = settings.load(ROOT / "params.yaml").detect.alerts
        sink = alerts.Alerts(given, [slow, fast], suppressions.Suppressions(), 10, live=True)
        began = time.monotonic()
        sink.incidents([document(number) for number in range(1, 6)])
        assert len(hook.wait(5)) == 5
        assert silent.asked == 1  # and it has not answered
        slow.close(time.monotonic() + 0.1)
        assert time.monotonic() - began < 30
    assert "alerts by slow: 2 wait, which is all that may: the oldest go" in caplog.text
    assert "alerts by slow: 5 messages not sent" in caplog.text


def test_a_receiver_that_is_not_there_is_told_without_secrets():
    from servers import free_port

    for url in (
        f"json://user:geheimes@127.0.0.1:{free_port()}/hidden-token/?+X-Key=hidden-key",
        f"mailtos://alarm:geheimes@example.org:{free_port()}?smtp=127.0.0.1&to=ops@example.org",
    ):
        why = channels.Channel("gone", url, 10, 1).send(messages.test())
        assert why == "Connection refused"
        assert "hidden" not in why
        assert "geheimes" not in why


def test_what_a_failing_channel_says_of_its_address_is_masked(monkeypatch):
    import requests

    def post(self, **given):
        raise requests.ConnectionError(f"{given['url']} broke for user {given.get('auth')}")

    monkeypatch.setattr(requests.Session, "request", post)
    for url in (
        "https://hooks.slack.com/services/T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ",
        "json://geheim-user:geheimes@example.org/TIiajkdnlazkcOXrIdevi7FQ",
        "jsons://example.org/T1JJ3T3L2?key=TIiajkdnlazkcOXrIdevi7FQ",
    ):
        why = channels.Channel("hook", url, 10, 1).send(messages.test())
        assert "broke" in why
        assert not re.search("T1JJ3T3L2|A1BRTD4JD|TIiajkdn|geheim", why)


def test_channels_come_from_the_environment_and_the_file_env(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / ".env").write_text("NETNORMAL_ALERT_MAIL=mailtos://a:b@example.org\nNETNORMAL_ALERT_HOOK=json://h\n")
    (tmp_path / ".env").chmod(0o600)
    monkeypatch.setenv("NETNORMAL_ALERT_LOG", "syslog://")
    monkeypatch.setenv("NETNORMAL_ALERT_HOOK", "")
    assert [channel.name for channel in channels.configured(10, 1)] == ["log", "mail"]


@pytest.mark.parametrize("url", ["nonsense://geheimes", "geheimes", "mailtos://geheimes", "https://geheimes.example"])
def test_an_address_that_is_none_is_refused_without_being_shown(url, monkeypatch, tmp_path, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("NETNORMAL_ALERT_MAIL", url)
    with pytest.raises(tables.InputError, match="NETNORMAL_ALERT_MAIL: is no address of a channel") as error:
        channels.configured(10, 1)
    assert "geheimes" not in str(error.value) + capsys.readouterr().err


# ---------------------------------------------------------------- as users run it


def test_test_alert_says_what_came_of_each_channel(run_script, tmp_path, pem):
    box, hook = receivers.Mailbox(), receivers.Webhook()
    with box.listening(pem, "starttls") as mail, hook.listening() as web:
        (tmp_path / ".env").write_text(f"NETNORMAL_ALERT_MAIL='{mail}'\nNETNORMAL_ALERT_WEB={web}\n")
        done = run_script("detect.py", "--test-alert", SSL_CERT_FILE=str(pem))
        assert (done.returncode, done.stderr.count("\n")) == (0, 1), done.stderr  # others can read .env
        assert done.stdout == "mail: sent\nweb: sent\n2 test messages sent: see whether they arrived\n"
        assert box.mails[0]["Subject"] == "[netnormal] this is a test"
        hook.answers = [404]
        done = run_script("detect.py", "--test-alert", "-v", SSL_CERT_FILE=str(pem))
    assert done.returncode == 1
    assert "web: FAILED: " in done.stdout
    assert "404" in done.stdout
    assert "1 of 2 channels did not take the test: correct NETNORMAL_ALERT_WEB" in done.stderr
    for secret in ("hidden-token", receivers.PASSWORD, receivers.URL_PASSWORD):
        assert secret not in done.stdout + done.stderr


def test_without_a_channel_alert_is_refused_and_says_where_to_write_one(run_script):
    for option in ("--test-alert", "--alert"):
        done = run_script("detect.py", option)
        assert done.returncode == 1
        assert done.stderr == "detect.py: NETNORMAL_ALERT_…: no alert channel is set up: write one into .env, as " + (
            ".env.example shows (docs/alerts.md)\n"
        )


@pytest.mark.parametrize(("options", "told"), [([], 0), (["--follow"], 1), (["--follow", "--no-alert"], 0)])
def test_a_run_over_files_tells_only_if_asked_and_following_unless_told_not_to(options, told, tmp_path, monkeypatch):
    monkeypatch.setenv("NETNORMAL_ALERT_LOG", "syslog://")
    args = detect.arguments().parse_args(["--output", str(tmp_path), *options])
    found = sinks.opened(args, settings.load(ROOT / "params.yaml"), suppressions.Suppressions())
    assert sum(isinstance(sink, alerts.Alerts) for sink in found) == told


def test_a_run_over_a_file_tells_all_it_found_in_one_message(chain, run_script):
    hook = receivers.Webhook()
    with hook.listening() as url:
        run = ["detect.py", "--input", "new.csv", "--output", "told", "--alert"]
        done = run_script(*run, cwd=chain, NETNORMAL_ALERT_WEB=url)
        assert done.returncode == 0, done.stderr
    (message,) = hook.took
    found = json.loads((chain / "told" / "incidents.json").read_text())
    assert message["title"].startswith(f"[netnormal] high: {len(found)} incidents (")
    for incident in found:
        assert incident["title"] in message["message"]


def test_every_address_that_the_docs_and_the_example_show_is_one():
    rows = [line for line in (ROOT / "docs" / "alerts.md").read_text("utf-8").splitlines() if line.startswith("|")]
    shown = [text for row in rows for text in re.findall(r"`(\w+://[^`]*)`", row)]
    lines = (ROOT / ".env.example").read_text("utf-8").splitlines()
    example = dotenv_values(stream=io.StringIO("\n".join(line.removeprefix("#") for line in lines if "=" in line)))
    shown += [url for name, url in example.items() if name.startswith(channels.PREFIX)]
    assert len(shown) > 10
    for url in shown:
        filled = url.replace("T…/B…/…", "T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ").replace(":PORT", ":8080")
        channels.Channel("shown", filled, 10, 1)
