"""Alerts are written down once and sent at least once, whoever dies when, and whatever the receiver does."""

import json
import multiprocessing
import os
import signal
import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest

from tests.faults import Points
from tests.serving import QuietHandler, serving
from trajgen_assets.core.clock import now
from trajgen_assets.core.faults import FAULTS_ENV
from trajgen_assets.core.locks import locked
from trajgen_assets.core.paths import Root
from trajgen_assets.core.report.alerts import Alert, raise_alerts, read_alerts
from trajgen_assets.core.report.delivery import FIRST_WAIT_S, MAX_AGE, MAX_TRIES, deliver
from trajgen_assets.core.report.receivers import copy_to, webhook

fork = multiprocessing.get_context("forkserver")

SECRET = "planted-secret-of-alerts"
DISK, JOB = Alert("disk", "1", "no trial begins: the disk is full"), Alert("job", "j-1", "job j-1 failed: no model")


@dataclass
class Receiver:
    """A webhook that answers as it is told to, the last answer for ever, and keeps what it got."""

    url: str = ""
    statuses: list[int] = field(default_factory=lambda: [200])
    go_on: threading.Event = field(default_factory=threading.Event)
    got: list[dict[str, str]] = field(default_factory=list)
    keys: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.go_on.set()

    @property
    def ids(self) -> list[str]:
        return [each["id"] for each in self.got]

    def next_status(self) -> int:
        return self.statuses.pop(0) if len(self.statuses) > 1 else self.statuses[0]


@pytest.fixture
def receiver(monkeypatch: pytest.MonkeyPatch) -> Iterator[Receiver]:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    made = Receiver()

    class Handler(QuietHandler):
        def do_POST(self) -> None:  # noqa: N802  as the library calls it
            made.keys.append(self.headers["Idempotency-Key"])
            made.got.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            made.go_on.wait(limit_s)
            answer(self, made.next_status())

    limit_s = 10.0
    with serving(Handler) as origin:
        made.url = f"{origin}/{SECRET}"
        yield made


def answer(handler: BaseHTTPRequestHandler, status: int) -> None:
    handler.send_response(status)
    if status == 302:
        handler.send_header("Location", "/elsewhere")
    handler.send_header("Content-Length", "0")
    handler.end_headers()


def send(root: Root, receiver: Receiver, at: datetime | None = None, timeout_s: float = 5.0) -> list[str]:
    return deliver(root, "webhook", webhook(receiver.url, str, timeout_s=timeout_s), at or now())


def test_what_is_said_twice_is_one_alert_and_what_is_about_another_thing_a_second(root: Root) -> None:
    assert [each.id for each in raise_alerts(root, [DISK, DISK, JOB])] == ["disk:1", "job:j-1"]
    assert raise_alerts(root, [JOB, DISK]) == []
    assert [each.id for each in raise_alerts(root, [Alert("disk", "2", "full again")])] == ["disk:2"]
    assert len(root.alerts.read_text().splitlines()) == 3


def raise_in_child(path: Path) -> None:
    raise_alerts(Root(path), [Alert("job", str(number), "it failed") for number in range(50)])


def test_two_processes_that_see_the_same_write_it_once(root: Root) -> None:
    children = [fork.Process(target=raise_in_child, args=(root.path,)) for _ in range(2)]
    for child in children:
        child.start()
    for child in children:
        child.join()
    assert [each.id for each in read_alerts(root)] == [f"job:{number}" for number in range(50)]


def test_what_a_killed_writer_left_is_closed_off_and_said_again(root: Root) -> None:
    raise_alerts(root, [JOB])
    whole = root.alerts.read_bytes()
    root.alerts.write_bytes(whole + b'{"id": "disk:1", "at"')
    raise_alerts(root, [DISK])
    assert [each.id for each in read_alerts(root)] == ["job:j-1", "disk:1"]
    assert root.alerts.read_bytes().startswith(whole)


def test_lines_of_an_earlier_version_are_left_alone(root: Root) -> None:
    root.logs.mkdir(parents=True)
    root.alerts.write_text('{"at": "2026-01-01T00:00:00+00:00", "kind": "disk", "text": "full"}\n')
    assert read_alerts(root) == []
    raise_alerts(root, [DISK])
    assert [each.id for each in read_alerts(root)] == ["disk:1"]


def test_a_text_is_stored_without_secrets_and_bounded(root: Root) -> None:
    raise_alerts(root, [Alert("run", "r", f"{SECRET} " + "x" * 9999)], redact=lambda text: text.replace(SECRET, "…"))
    (stored,) = read_alerts(root)
    assert SECRET not in root.alerts.read_text()
    assert len(stored.text) < 1000


def test_each_alert_is_sent_once_with_what_a_receiver_needs(root: Root, receiver: Receiver) -> None:
    raise_alerts(root, [DISK, JOB])
    assert len(send(root, receiver)) == 2
    assert send(root, receiver) == []
    assert receiver.ids == receiver.keys == ["disk:1", "job:j-1"]
    assert receiver.got[0]["text"] == DISK.text
    assert receiver.got[0].keys() == {"id", "at", "kind", "text", "host"}


@pytest.mark.parametrize("status", [500, 503, 429, 408])
def test_a_receiver_that_is_in_trouble_gets_it_later_and_the_others_behind_it(
    root: Root, receiver: Receiver, status: int
) -> None:
    receiver.statuses = [status, 200]
    raise_alerts(root, [DISK, JOB])
    began = now()
    assert send(root, receiver, began) == [f"disk:1 to webhook: unreached, status {status}"]
    assert [line.split(":")[0] for line in send(root, receiver, began + timedelta(seconds=1))] == ["job"]
    assert receiver.ids == ["disk:1", "job:j-1"]
    send(root, receiver, began + timedelta(seconds=FIRST_WAIT_S))
    assert receiver.ids == ["disk:1", "job:j-1", "disk:1"]


@pytest.mark.parametrize("status", [400, 404, 302])
def test_an_alert_that_is_refused_holds_up_no_other_and_leads_nowhere_else(
    root: Root, receiver: Receiver, status: int
) -> None:
    receiver.statuses = [status, 200]
    raise_alerts(root, [DISK, JOB])
    lines = send(root, receiver)
    assert lines[0] == f"disk:1 to webhook: refused, status {status}"
    assert receiver.ids == ["disk:1", "job:j-1"]


def test_waits_grow_and_end_with_giving_up(root: Root, receiver: Receiver) -> None:
    receiver.statuses = [500]
    raise_alerts(root, [DISK])
    moment, said = now(), []
    for _ in range(2 * MAX_TRIES):
        said += send(root, receiver, moment)
        moment += timedelta(minutes=20)
    assert len(said) < MAX_TRIES + 1
    while len(receiver.ids) < MAX_TRIES:
        said += send(root, receiver, moment)
        moment += timedelta(hours=1)
    assert said[-1].endswith("and given up")
    assert send(root, receiver, moment + timedelta(hours=1)) == []


def test_a_receiver_that_never_answers_costs_no_more_than_the_limit_and_its_address_is_not_told(
    root: Root, receiver: Receiver
) -> None:
    receiver.go_on.clear()
    raise_alerts(root, [DISK, JOB])
    began = time.monotonic()
    (line,) = send(root, receiver, timeout_s=0.2)
    assert time.monotonic() - began < 5.0
    assert line == "disk:1 to webhook: unreached, no answer within 0.2 s"
    receiver.go_on.set()


def test_where_nothing_listens_it_is_said_without_the_address(root: Root, receiver: Receiver) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    raise_alerts(root, [DISK])
    (line,) = deliver(root, "webhook", webhook(f"http://127.0.0.1:{port}/{SECRET}", str), now())
    assert line == "disk:1 to webhook: unreached, ConnectError"
    (line,) = deliver(root, "other", webhook(f"not an address {SECRET}", str), now())
    assert SECRET not in line
    assert SECRET not in root.alerts_sent.read_text()


def send_in_child(path: Path, url: str, points: Path) -> None:
    os.environ[FAULTS_ENV] = str(points)
    deliver(Root(path), "webhook", webhook(url, str), now())


def test_who_dies_between_sending_and_noting_it_sends_it_again_under_the_same_id(
    root: Root, receiver: Receiver, tmp_path: Path
) -> None:
    points = Points(tmp_path / "points")
    points.arm("alert_sent")
    raise_alerts(root, [DISK, JOB])
    child = fork.Process(target=send_in_child, args=(root.path, receiver.url, points.folder))
    child.start()
    os.kill(points.wait("alert_sent"), signal.SIGKILL)
    child.join()
    assert receiver.ids == ["disk:1"]
    send(root, receiver)
    send(root, receiver)
    assert receiver.ids == ["disk:1", "disk:1", "job:j-1"]


def test_of_two_that_would_send_one_does(root: Root, receiver: Receiver) -> None:
    raise_alerts(root, [DISK])
    with locked(root.locks / "alerts-delivery"):
        assert send(root, receiver) == []
    assert len(send(root, receiver)) == 1


def test_what_is_older_than_a_day_is_not_sent_any_more(root: Root, receiver: Receiver) -> None:
    raise_alerts(root, [DISK])
    assert send(root, receiver, now() + MAX_AGE + timedelta(minutes=1)) == []
    assert receiver.ids == []


def test_a_file_and_a_webhook_each_get_every_alert(root: Root, receiver: Receiver, tmp_path: Path) -> None:
    copy = tmp_path / "for-others" / "alerts.jsonl"
    receiver.statuses = [500]
    raise_alerts(root, [DISK, JOB])
    for _ in range(2):
        send(root, receiver)
        deliver(root, "file", copy_to(copy), now())
    assert [json.loads(line)["id"] for line in copy.read_text().splitlines()] == ["disk:1", "job:j-1"]
    assert datetime.fromisoformat(json.loads(copy.read_text().splitlines()[0])["at"]).tzinfo == UTC
