"""A synthetic job of OpenHands trials for timing converters: the same seed gives the same bytes.

    .venv/bin/python benchmarks/recorded_job.py --out FOLDER [--trials 200] [--records 40] [--seed 7] [--clean]

Each trial has `<out>/job/<folder>/{config.json, agent/litellm-trajectory.jsonl}` and `<out>/tasks/<id>/task.toml`;
the job has `<out>/job/result.json`. `<out>/manifest.json` names the outcome that each trial was built to have. A line
repeats the whole history of its request, so a file grows with the square of its turns.
"""

import argparse
import json
import random
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from hashlib import md5
from pathlib import Path
from typing import Any, TextIO

Json = dict[str, Any]

# fmt: off
WORDS = (
    "parser", "buffer", "index", "offset", "cache", "token", "node", "edge", "graph", "schema", "field", "value",
    "request", "response", "session", "handler", "router", "config", "loader", "writer", "reader", "stream", "encode",
    "decode", "header", "payload", "worker", "queue", "retry", "timeout", "backoff", "merge", "split", "filter", "sort",
    "group", "bucket", "window", "column", "row", "table", "query", "cursor", "commit", "branch", "revision", "patch",
    "module", "import", "export", "class", "method", "return", "yield", "raise", "except", "assert", "fixture", "mock",
    "stub", "client", "server", "socket", "channel", "path", "root", "leaf", "depth",
)
# fmt: on
OWNERS = ("acme", "blueleaf", "corelab", "deltaworks", "eastgate", "foxhollow")
REPOS = ("streamkit", "tinyorm", "pathlite", "jsonforge", "cronline", "gridmap")
SYSTEM_TEXT = "You are a software engineering agent working in a sandbox with a terminal and a file editor.\n\n"
SHELL_END = (
    "\n[The command completed with exit code 0.]\n[Current working directory: /workspace/repo]"
    "\n[Command finished with exit code 0]"
)
IN_REPO = "cd /workspace/repo && "
FAILURE = {"error": {"type": "timeout", "message": "upstream did not answer"}}
KINDS = (  # kind, share of trials, whether a row is expected
    ("plain", 0.82, True),
    ("trailing_failures", 0.06, True),
    ("mid_failure", 0.06, True),
    ("no_choices", 0.02, False),
    ("all_failed", 0.02, False),
    ("no_file", 0.02, False),
)


@dataclass(frozen=True)
class Size:
    """How much to write; `turn_bytes` is about that of one tool output, `n_records` the mean turns of a trial."""

    n_trials: int = 200
    n_records: int = 40
    turn_bytes: int = 5200
    seed: int = 7
    clean: bool = False


@dataclass(frozen=True)
class BuiltTrial:
    """What one trial was built to be, as the manifest has it."""

    folder: str
    instance_id: str
    kind: str
    reward: str
    lines: int
    turns: int
    bytes: int
    expect_row: bool


def write_job(out: Path, size: Size) -> list[BuiltTrial]:
    """Write a job below `out`. Returns what was built, in order."""
    out = out.resolve()
    (out / "job").mkdir(parents=True)
    built = [_write_trial(out, size, number) for number in range(size.n_trials)]
    rewards = {reward: [each.folder for each in built if each.reward == reward] for reward in ("1.0", "0.0")}
    stats = {"evals": {"openhands-sdk__bench-model__bench": {"reward_stats": {"reward": rewards}}}}
    _write_json(out / "job" / "result.json", {"n_total_trials": size.n_trials, "stats": stats})
    manifest = json.dumps([asdict(each) for each in built], indent=1)
    (out / "manifest.json").write_text(manifest, encoding="utf-8")
    return built


def words(dice: random.Random, n: int) -> str:
    """`n` words."""
    return " ".join(dice.choices(WORDS, k=n))


def code_block(dice: random.Random, n_lines: int, first: int = 1) -> str:
    """Numbered lines that look like Python."""
    return "\n".join(f"{first + at:6d}\t{_code_line(dice)}" for at in range(n_lines))


def _code_line(dice: random.Random) -> str:
    depth = dice.choice((0, 1, 1, 2, 2, 3))
    a, b, c = dice.choices(WORDS, k=3)
    forms: tuple[Callable[[], str], ...] = (  # only the chosen one may throw dice
        lambda: f"def {a}_{b}(self, {c}=None):",
        lambda: f"if {a}.{b}({c}) is not None:",
        lambda: f"return self._{a}[{b!r}].{c}()",
        lambda: f"# {words(dice, 7)}",
        lambda: f'{a} = {b}.get("{c}", {dice.randrange(1000)})',
        lambda: f'raise ValueError(f"{a} {{{b}}} has no {c}")',
    )
    return "    " * depth + forms[dice.randrange(6)]()


def _grep_block(dice: random.Random, n_lines: int) -> str:
    before, after = ("\x1b[01;31m\x1b[K", "\x1b[m\x1b[K") if dice.random() < 0.3 else ("", "")
    lines = []
    for _ in range(n_lines):
        a, b, c = dice.choices(WORDS, k=3)
        lines.append(f"src/{a}/{b}.py:{dice.randrange(1, 900)}:    self.{before}{c}{after} = {words(dice, 5)}")
    return "\n".join(lines)


def _pytest_block(dice: random.Random, *, ok: bool) -> str:
    n = dice.randrange(8, 60)
    body = "\n".join(f"tests/test_{dice.choice(WORDS)}.py {'.' * dice.randrange(3, 30)}" for _ in range(12))
    if ok:
        return f"{body}\n===== {n} passed in {dice.random() * 9:.2f}s ====="
    name = dice.choice(WORDS)
    failed = f"FAILED tests/test_{name}.py::test_{name} - AssertionError: {words(dice, 5)}"
    return f"{body}\n{failed}\n===== 1 failed, {n} passed in {dice.random() * 9:.2f}s ====="


def tool_definitions() -> list[Json]:
    """The tools that every request offers."""
    text, number = {"type": "string"}, {"type": "integer"}
    items = {"type": "array", "items": {"type": "object"}}
    editor: Json = dict.fromkeys(("command", "path", "file_text", "old_str", "new_str"), text)
    editor |= {"insert_line": number, "view_range": {"type": "array", "items": number}}
    shell = {"command": text, "is_input": text, "timeout": {"type": "number"}}
    return [
        _tool("terminal", shell, ["command"], 40),
        _tool("file_editor", editor, ["command", "path"], 40),
        _tool("task_tracker", {"command": text, "task_list": items}, ["command"], 40),
        _tool("think", {"thought": text}, ["thought"], 6),
        _tool("finish", {"message": text}, ["message"], 6),
    ]


def _tool(name: str, properties: Json, required: list[str], n_sentences: int) -> Json:
    dice = random.Random(name)
    description = f"{name}: " + ". ".join(words(dice, 12) for _ in range(n_sentences))
    parameters = {"type": "object", "properties": properties, "required": required}
    return {"type": "function", "function": {"name": name, "description": description, "parameters": parameters}}


def text_blocks(text: str) -> list[Json]:
    """Content of one block."""
    return [{"type": "text", "text": text}]


@dataclass(frozen=True)
class Step:
    """One call and what it gives; the last one gives nothing."""

    tool: str
    arguments: Json
    output: str | None


@dataclass
class Story:
    """The messages of one trial, turn by turn."""

    dice: random.Random
    instance: str
    n_turns: int
    turn_bytes: int
    shows_reasoning: bool
    n_calls: int = field(default=0, init=False)

    def head(self) -> list[Json]:
        """What stands before the first answer."""
        system = SYSTEM_TEXT + "\n".join(f"* {words(self.dice, 18)}." for _ in range(60))
        issue = (
            f"Repository {self.instance} is checked out under /workspace/repo.\n"
            f"<issue>\n{words(self.dice, 260)}\n</issue>\nFix the issue and check it with tests."
        )
        return [
            {"role": "system", "content": text_blocks(system)},
            {"role": "user", "content": text_blocks(issue)},
        ]

    def turn(self, at: int) -> tuple[Json, Json | None]:
        """The answer of turn `at`, and the result of its call."""
        step = self._step(at)
        self.n_calls += 1
        id_ = "call_" + md5(f"{self.instance}/{self.n_calls}".encode()).hexdigest()[:24]
        function = {"name": step.tool, "arguments": json.dumps(step.arguments)}
        answer: Json = {
            "role": "assistant",
            "content": text_blocks(words(self.dice, 24)) if self.dice.random() < 0.6 else "",
            "tool_calls": [{"id": id_, "type": "function", "function": function}],
        }
        if self.shows_reasoning and self.dice.random() < 0.85:
            answer["reasoning_content"] = words(self.dice, 90) + "\n"
        if step.output is None:
            return answer, None
        output = step.output + (SHELL_END if step.tool == "terminal" else "")
        return answer, {"role": "tool", "tool_call_id": id_, "name": step.tool, "content": text_blocks(output)}

    def _step(self, at: int) -> Step:
        share = at / max(1, self.n_turns - 1)
        n_lines = max(4, self.turn_bytes // 62)
        path = f"/workspace/repo/src/{self.dice.choice(WORDS)}/{self.dice.choice(WORDS)}.py"
        if at == self.n_turns - 1:
            return Step("finish", {"message": "The fix is complete. " + words(self.dice, 60)}, None)
        if share < 0.3:
            return self._look(path, n_lines)
        return self._change(path, n_lines) if share < 0.7 else self._test(share, n_lines)

    def _look(self, path: str, n_lines: int) -> Step:
        if self.dice.random() < 0.5:
            command = f"{IN_REPO}grep -rn '{self.dice.choice(WORDS)}' src | head -80"
            return Step("terminal", {"command": command}, _grep_block(self.dice, n_lines))
        start = self.dice.randrange(1, 400)
        arguments = {"command": "view", "path": path, "view_range": [start, start + n_lines]}
        shown = code_block(self.dice, n_lines, start)
        return Step("file_editor", arguments, f"Here's the result of running `cat -n` on the file:\n{shown}")

    def _change(self, path: str, n_lines: int) -> Step:
        pick = self.dice.random()
        if pick < 0.45:
            old, new = code_block(self.dice, n_lines // 5), code_block(self.dice, n_lines // 4)
            arguments = {"command": "str_replace", "path": path, "old_str": old, "new_str": new}
            shown = code_block(self.dice, n_lines // 2)
            return Step("file_editor", arguments, f"The file has been edited. Here is a snippet:\n{shown}")
        if pick < 0.6:
            test = f"/workspace/repo/tests/test_{self.dice.choice(WORDS)}.py"
            arguments = {"command": "create", "path": test, "file_text": code_block(self.dice, n_lines // 2)}
            return Step("file_editor", arguments, "File created.")
        if pick < 0.7:
            tasks = [{"title": words(self.dice, 6), "notes": words(self.dice, 12), "status": "todo"} for _ in range(6)]
            return Step("task_tracker", {"command": "plan", "task_list": tasks}, "Task list updated with 6 items.")
        if pick < 0.8:
            return Step("think", {"thought": words(self.dice, 120)}, "Your thought has been logged.")
        command = f"{IN_REPO}sed -n '1,{n_lines}p' {path}"
        return Step("terminal", {"command": command}, code_block(self.dice, n_lines))

    def _test(self, share: float, n_lines: int) -> Step:
        ok = self.dice.random() < share
        command = f"{IN_REPO}python -m pytest tests/test_{self.dice.choice(WORDS)}.py -q 2>&1 | tail -40"
        output = code_block(self.dice, n_lines // 2) + "\n" + _pytest_block(self.dice, ok=ok)
        return Step("terminal", {"command": command}, output)


class Recorder:
    """Writes calls as the proxy records them, each with the whole history in it."""

    def __init__(self, file: TextIO, dice: random.Random, head: list[Json]) -> None:
        self._file = file
        self._dice = dice
        self._history = [_text(message) for message in head]
        self._clock_s = 1_760_000_000.0 + dice.random() * 1e6
        self._tools = _text(tool_definitions())
        self.n_lines = 0

    def add(self, message: Json) -> None:
        """Let the next requests have one message more."""
        self._history.append(_text(message))

    def emit(self, response: Json, *, success: bool = True) -> None:
        """Write one call."""
        self._clock_s += self._dice.random() * 20
        n_tokens = sum(map(len, self._history)) // 4
        self._file.write(
            f'{{"success": {_text(success)}, "request_time": {self._clock_s:.3f}, '
            f'"duration": {self._dice.random() * 9:.3f}, "request_body": {{"model": "bench-model", '
            f'"messages": [{", ".join(self._history)}], "tools": {self._tools}, "max_tokens": 16384, '
            f'"temperature": 0.6, "top_p": 0.95}}, "response_body": {_text(response)}, "usage": '
            f'{{"prompt_tokens": {n_tokens}, "completion_tokens": 400, "total_tokens": {n_tokens + 400}}}}}\n'
        )
        self.n_lines += 1


def _write_trajectory(path: Path, story: Story, kind: str) -> int:
    with path.open("w", encoding="utf-8") as file:
        recorder = Recorder(file, story.dice, story.head())
        for at in range(story.n_turns):
            answer, result = story.turn(at)
            if kind == "mid_failure" and at == story.n_turns // 2:
                recorder.emit(FAILURE, success=False)
            if kind == "all_failed":
                recorder.emit(FAILURE, success=False)
            else:
                has_choice = kind != "no_choices" or at < story.n_turns - 1
                recorder.emit({"id": f"r{at}", "choices": [_choice(answer)] if has_choice else []})
            recorder.add(answer)
            if result is not None:
                recorder.add(result)
        for _ in range(3 if kind == "trailing_failures" else 0):
            recorder.emit(FAILURE, success=False)
    return recorder.n_lines


def _choice(answer: Json) -> Json:
    content = answer["content"]
    reply = answer | {"content": content[0]["text"] if isinstance(content, list) else content}
    return {"index": 0, "finish_reason": "tool_calls", "message": reply}


def _write_trial(out: Path, size: Size, number: int) -> BuiltTrial:
    dice = random.Random(size.seed * 1_000_003 + number)
    instance = f"{dice.choice(OWNERS)}__{dice.choice(REPOS)}-{1000 + number}"
    folder = f"{instance}__{md5(f'{size.seed}/{number}'.encode()).hexdigest()[:7]}"
    kind, expect_row = _kind(dice.random(), clean=size.clean)
    n_turns = max(6, int(dice.gauss(size.n_records, size.n_records * 0.15)))
    story = Story(dice, instance, n_turns, size.turn_bytes, shows_reasoning=dice.random() < 0.7)
    trial, task = out / "job" / folder, out / "tasks" / instance
    (trial / "agent").mkdir(parents=True)
    _write_task(task, dice.choice(("easy", "medium", "hard")))
    _write_json(trial / "config.json", {"task": {"path": str(task)}, "agent": {"name": "openhands-sdk"}})
    path = trial / "agent" / "litellm-trajectory.jsonl"
    n_lines = 0 if kind == "no_file" else _write_trajectory(path, story, kind)
    reward = "1.0" if dice.random() < 0.75 else "0.0"
    size_bytes = path.stat().st_size if n_lines else 0
    return BuiltTrial(folder, instance, kind, reward, n_lines, n_turns, size_bytes, expect_row)


def _kind(point: float, *, clean: bool) -> tuple[str, bool]:
    for kind, share, expect_row in () if clean else KINDS:
        if point < share:
            return kind, expect_row
        point -= share
    return "plain", True


def _write_task(folder: Path, difficulty: str) -> None:
    folder.mkdir(parents=True)
    (folder / "task.toml").write_text(
        f'version = "1.0"\n\n[metadata]\nauthor_name = "bench"\ndifficulty = "{difficulty}"\n'
        'category = "debugging"\ntags = ["python", "bench"]\n',
        encoding="utf-8",
    )


def _write_json(path: Path, value: Json) -> None:
    path.write_text(json.dumps(value), encoding="utf-8")


def _text(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--out", type=Path, required=True, help="a folder that does not hold a job yet")
    parser.add_argument("--trials", type=int, default=Size.n_trials)
    parser.add_argument("--records", type=int, default=Size.n_records, help="mean number of turns of a trial")
    parser.add_argument("--turn-bytes", type=int, default=Size.turn_bytes, help="about the size of a tool output")
    parser.add_argument("--seed", type=int, default=Size.seed)
    parser.add_argument("--clean", action="store_true", help="every trial of kind plain")
    return parser.parse_args()


def main() -> None:
    """Write a job, and say how large it is."""
    args = _parse()
    built = write_job(args.out, Size(args.trials, args.records, args.turn_bytes, args.seed, args.clean))
    print(
        f"{len(built)} trials, {sum(each.lines for each in built)} records, "
        f"{sum(each.bytes for each in built) / 1e6:.1f} MB, {sum(each.expect_row for each in built)} rows expected"
    )


if __name__ == "__main__":
    main()
