"""What the record costs: CPU time and latency that LiteLLM adds to a model call, without and with what we put into it.

    .venv/bin/python benchmarks/capture.py [--rounds 5] [--only "5 KB" "200 KB" "1 MB" stream] [--scale 1]

One client makes the same calls, one after the other: of the upstream itself, of LiteLLM as it is (the platform's
configuration less our logger and our custom auth), and of LiteLLM as the platform runs it. The calls are plain ones
with a history of 5 KB, 200 KB and 1 MB, and streams of 200 chunks. Rounds are interleaved, so that other load on the
machine falls on all ways alike. CPU time is that of LiteLLM's process. Figures are medians over the rounds, percentiles
are those within one.

A second table takes our part of a plain call apart: the same functions on the same bodies, in this process.
"""

import argparse
import importlib
import json
import multiprocessing
import os
import random
import secrets
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import orjson
import psutil
import uvicorn

from trajgen_assets.core import process
from trajgen_assets.core.atomic import write_yaml
from trajgen_assets.core.capture.litellm_config import Upstream, litellm_config
from trajgen_assets.core.capture.ports import choose_port
from trajgen_assets.core.capture.proxy import LITELLM_ENV, running_proxy
from trajgen_assets.core.capture.verdict import judge
from trajgen_assets.core.guest import PACKAGE
from trajgen_assets.core.ledger.models import CaptureVerdict
from trajgen_assets.core.paths import Root

HOST, PATH = "127.0.0.1", "/v1/chat/completions"
TRIAL = "task__benchmark"
N_CHUNKS, MESSAGE_BYTES = 200, 2500
DIRECT, BARE, OURS = WAYS = ("direct", "LiteLLM", "with the record")
READY_S = 180.0
N_WARM_UP = 5
USAGE = {"prompt_tokens": 11, "completion_tokens": 5, "total_tokens": 16}


@dataclass(frozen=True)
class Kind:
    """One kind of call: how large its history is, whether it is streamed, how many make one lap."""

    name: str
    size_bytes: int
    n_calls: int
    stream: bool = False

    def body(self) -> bytes:
        """What the client sends: a conversation of words, the same in every run."""
        dice = random.Random(self.size_bytes)
        n_messages = max(2, self.size_bytes // MESSAGE_BYTES)
        messages = [
            {"role": ("user", "assistant")[number % 2], "content": _words(dice, self.size_bytes // n_messages)}
            for number in range(n_messages)
        ]
        return json.dumps({"model": "m1", "messages": messages, "stream": self.stream}).encode()


KINDS = (
    Kind("5 KB", 5_000, 120),
    Kind("200 KB", 200_000, 80),
    Kind("1 MB", 1_000_000, 40),
    Kind("stream", 5_000, 15, stream=True),
)


@dataclass(frozen=True)
class Lap:
    """The calls of one kind in one round, one way. CPU is that of the proxy's process for each call."""

    cpu_ms: float
    p50_ms: float
    p99_ms: float


@dataclass(frozen=True)
class Way:
    """Where calls go. `pid` is None where there is no proxy."""

    base_url: str
    key: str
    pid: int | None = None

    def lap(self, kind: Kind, n_calls: int) -> Lap:
        """Make the calls of one lap."""
        body, headers = kind.body(), {"Authorization": f"Bearer {self.key}", "Content-Type": "application/json"}
        with httpx.Client(base_url=self.base_url, headers=headers, trust_env=False, timeout=60) as client:
            _ask(client, body)
            before_s = self._cpu_s()
            latencies = sorted(_ask(client, body) for _ in range(n_calls))
            cpu_ms = (self._cpu_s() - before_s) * 1000 / n_calls
        return Lap(cpu_ms, statistics.median(latencies), latencies[int(len(latencies) * 0.99)])

    def _cpu_s(self) -> float:
        times = psutil.Process(self.pid).cpu_times() if self.pid else None
        return times.user + times.system if times else 0.0


def _ask(client: httpx.Client, body: bytes) -> float:
    """Milliseconds until the whole reply is there."""
    began_s = time.perf_counter()
    reply = client.post(PATH, content=body)
    took_ms = (time.perf_counter() - began_s) * 1000
    if reply.status_code != httpx.codes.OK or "stop" not in reply.text[-600:]:
        sys.exit(f"{client.base_url} answered {reply.status_code}: {reply.text[-600:]}")
    return took_ms


def main() -> None:
    """Measure, and print one table."""
    arguments = _arguments()
    kinds = [kind for kind in KINDS if kind.name in arguments.only]
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="trajgen-capture-")))
        upstream = Upstream("openai/m1", f"{stack.enter_context(serving_upstream())}/v1", "key-of-the-upstream")
        ways = {
            DIRECT: Way(upstream.api_base_url.removesuffix("/v1"), upstream.api_key),
            BARE: stack.enter_context(bare_litellm(folder / "bare", upstream)),
            OURS: stack.enter_context(recording_litellm(folder / "ours", upstream)),
        }
        laps = measured(ways, kinds, arguments.rounds, arguments.scale)
        capture = judge(folder / "ours", TRIAL, explained=None)
        profile = parts_table(folder / "parts", [kind for kind in kinds if not kind.stream])
    if capture.verdict is not CaptureVerdict.COMPLETE:
        sys.exit(f"the record is not whole: {capture.explanation}")
    print(f"{table(laps, arguments.rounds)}\n\n{profile}")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument(
        "--only", nargs="+", choices=[kind.name for kind in KINDS], default=[kind.name for kind in KINDS]
    )
    parser.add_argument("--scale", type=float, default=1.0, help="times the number of calls in a lap")
    return parser.parse_args()


Laps = dict[tuple[str, str], list[Lap]]


def measured(ways: dict[str, Way], kinds: Sequence[Kind], n_rounds: int, scale: float) -> Laps:
    """The laps of each kind and way, a warm-up less."""
    laps: Laps = {(kind.name, name): [] for kind in kinds for name in ways}
    for kind in kinds:
        for way in ways.values():
            way.lap(kind, N_WARM_UP)
    for number in range(n_rounds):
        for kind in kinds:
            for name, way in ways.items():
                laps[kind.name, name].append(way.lap(kind, max(2, round(kind.n_calls * scale))))
        print(f"round {number + 1} of {n_rounds}; load average {os.getloadavg()[0]:.1f}", file=sys.stderr, flush=True)
    return laps


@contextmanager
def bare_litellm(folder: Path, upstream: Upstream) -> Iterator[Way]:
    """LiteLLM with the platform's configuration, less the logger and custom auth."""
    config = litellm_config(upstream)
    del config["litellm_settings"]["callbacks"], config["general_settings"]["custom_auth"]
    folder.mkdir()
    write_yaml(folder / "config.yaml", config)
    key, port = f"sk-{secrets.token_hex(16)}", choose_port(HOST, None)
    environ = {"TRAJGEN_MASTER_KEY": key, "TRAJGEN_UPSTREAM_API_KEY": upstream.api_key}
    argv = [_litellm() / "bin" / "litellm", "--config", folder / "config.yaml", "--host", HOST, "--port", str(port)]
    with (folder / "log").open("wb") as log:
        child = process.spawn(argv, env=process.child_env(LITELLM_ENV | environ), cwd=folder, log=log)
    try:
        url = f"http://{HOST}:{port}"
        _await(lambda: httpx.get(f"{url}/health/readiness", trust_env=False).status_code == httpx.codes.OK, child)
        yield Way(url, key, child.pid)
    finally:
        process.stop_group(child, grace_s=10)


@contextmanager
def recording_litellm(folder: Path, upstream: Upstream) -> Iterator[Way]:
    """LiteLLM as the platform runs it."""
    with running_proxy(
        env=_litellm(), folder=folder, job="benchmark", upstream=upstream, ready_timeout_s=READY_S
    ) as proxy:
        yield Way(proxy.base_url, proxy.trial_key(TRIAL), proxy.process.pid)


def _litellm() -> Path:
    return Root.from_environ().env / "litellm-venv"


def _await(is_ready: Callable[[], bool], child: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + READY_S
    while time.monotonic() < deadline and child.poll() is None:
        try:
            if is_ready():
                return
        except httpx.HTTPError:
            pass  # nobody listens yet
        time.sleep(0.2)
    sys.exit("LiteLLM did not start")


@contextmanager
def serving_upstream() -> Iterator[str]:
    """An upstream in a process of its own. Yields its origin."""
    with closing(socket.create_server((HOST, 0))) as listener:
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        server = multiprocessing.get_context("fork").Process(target=_serve, args=(listener,), daemon=True)
        server.start()
        try:
            yield f"http://{HOST}:{listener.getsockname()[1]}"
        finally:
            server.kill()
            server.join()


def _serve(listener: socket.socket) -> None:
    config = uvicorn.Config(_answer, log_level="critical", lifespan="off", timeout_keep_alive=600)
    uvicorn.Server(config).run([listener])


async def _answer(_scope: Any, receive: Any, send: Any) -> None:
    data, more = b"", True
    while more:
        message = await receive()
        data, more = data + message["body"], message.get("more_body", False)
    stream = orjson.loads(data).get("stream") is True
    kind = b"text/event-stream" if stream else b"application/json"
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", kind)]})
    for part in STREAM if stream else [WHOLE]:
        await send({"type": "http.response.body", "body": part, "more_body": True})
    await send({"type": "http.response.body", "body": b"", "more_body": False})


def _envelope(kind: str, **choice: Any) -> dict[str, Any]:
    return {"id": "c", "object": kind, "created": 1, "model": "m1", "choices": [{"index": 0} | choice]}


def _event(**choice: Any) -> bytes:
    return b"data: %s\n\n" % json.dumps(_envelope("chat.completion.chunk", **choice)).encode()


def _words(dice: random.Random, size_bytes: int) -> str:
    words = [f"{dice.choice(('def', 'return', 'the', 'value'))}_{dice.randrange(1000)}" for _ in range(size_bytes // 9)]
    return " ".join(words)[:size_bytes]


WHOLE = json.dumps(
    _envelope("chat.completion", message={"role": "assistant", "content": "done"}, finish_reason="stop")
    | {"usage": USAGE}
).encode()
STREAM = [_event(delta={"role": "assistant", "content": "begin"}, finish_reason=None)]
STREAM += [_event(delta={"content": f" word {number}"}, finish_reason=None) for number in range(N_CHUNKS)]
STREAM += [
    b"data: %s\n\ndata: [DONE]\n\n"
    % json.dumps(_envelope("chat.completion.chunk", delta={}, finish_reason="stop") | {"usage": USAGE}).encode()
]


def table(laps: Laps, n_rounds: int) -> str:
    """Figures as Markdown, with what the record adds to LiteLLM's own cost."""
    head = f"{os.cpu_count()} cores; medians of {n_rounds} rounds; load average {os.getloadavg()[0]:.1f} at the end"
    lines = [head, "", "| call | way | CPU ms | p50 ms | p99 ms |", "|---|---|---|---|---|"]
    for kind in dict.fromkeys(name for name, _ in laps):
        lines += [_row(kind, way, laps[kind, way]) for way in WAYS]
        lines.append(_added(kind, laps[kind, BARE], laps[kind, OURS]))
    return "\n".join(lines)


def _row(kind: str, way: str, laps: Sequence[Lap]) -> str:
    cpu_ms, p50_ms, p99_ms = (statistics.median(getattr(lap, name) for lap in laps) for name in FIELDS)
    return f"| {kind} | {way} | {'' if way == DIRECT else f'{cpu_ms:.1f}'} | {p50_ms:.1f} | {p99_ms:.1f} |"


FIELDS = ("cpu_ms", "p50_ms", "p99_ms")


def _added(kind: str, bare: Sequence[Lap], ours: Sequence[Lap]) -> str:
    pairs = list(zip(bare, ours, strict=True))
    cpu_ms, p50_ms, p99_ms = (
        statistics.median(getattr(b, name) - getattr(a, name) for a, b in pairs) for name in FIELDS
    )
    share = statistics.median(b.cpu_ms / a.cpu_ms - 1 for a, b in pairs)
    return f"| {kind} | the record adds | {cpu_ms:+.1f} ({share:+.0%}) | {p50_ms:+.1f} | {p99_ms:+.1f} |"


PARTS = ("admission", "record", "of it its digest", "JSON, searched for secrets", "written", "other lines")
N_OTHER_LINES = 4  # admitted, begin, end, served
N_PARTS_CALLS = 50


def parts_table(folder: Path, kinds: Sequence[Kind]) -> str:
    """What each part of our work on one call takes, in milliseconds of CPU."""
    lines = [f"| call | {' | '.join(PARTS)} |", f"|---|{'---|' * len(PARTS)}"]
    for kind in kinds:
        lines.append(f"| {kind.name} | {' | '.join(f'{part_ms:.2f}' for part_ms in _parts_ms(folder, kind))} |")
    return "\n".join(lines)


def _parts_ms(folder: Path, kind: Kind) -> list[float]:
    os.environ |= {"TRAJGEN_MASTER_KEY": secrets.token_hex(32), "TRAJGEN_PROXY_DIR": str(folder)}
    sys.path[:0] = [str(PACKAGE / name) for name in ("guest", "guest/litellm") if str(PACKAGE / name) not in sys.path]
    admission, files, plain_json, record = (
        importlib.import_module(name) for name in ("admission", "capture_files", "plain_json", "trajectory_record")
    )
    (folder / "trajectories").mkdir(parents=True, exist_ok=True)
    path, now = files.trial_file("trajectories", TRIAL), datetime.now(UTC)
    admitted = admission.admit("benchmark", TRIAL, PATH)
    kwargs = {"additional_args": {"complete_input_dict": orjson.loads(kind.body())}, "model": "m1"}
    sides = {"admission": admitted, "started": now, "ended": now, "failed": False}
    built = record.build(kwargs, orjson.loads(WHOLE), **sides)
    line = plain_json.encode_without_secrets(built)
    works: list[Callable[[], object]] = [
        lambda: admission.opened(admission.admit("benchmark", TRIAL, PATH)),
        lambda: record.build(kwargs, orjson.loads(WHOLE), **sides),
        lambda: record.request_sha256(built["request_body"]),
        lambda: plain_json.encode_without_secrets(built),
        lambda: files.append_line(path, line),
        lambda: [files.append_line(path, line[:200]) for _ in range(N_OTHER_LINES)],
    ]
    return [_cpu_ms(work) for work in works]


def _cpu_ms(work: Callable[[], object]) -> float:
    work()
    began_s = time.process_time()
    for _ in range(N_PARTS_CALLS):
        work()
    return (time.process_time() - began_s) * 1000 / N_PARTS_CALLS


if __name__ == "__main__":
    main()
