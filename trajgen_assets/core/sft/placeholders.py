"""What stands in training data for what only one host, or one trial, ever had.

An agent that runs `env`, `pwd` or `hostname` has it in its conversation. It is worth nothing to a model, and some of it
names people. The raw record keeps it; rows hold a fixed word instead, and say how often.
"""

import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import PurePosixPath
from typing import Any, Self

from trajgen_assets.core.rollout.host_facts import HostFacts
from trajgen_assets.core.sft.encoding import encode
from trajgen_assets.core.sft.messages import Json
from trajgen_assets.guest import trial_keys

TRIAL_KEY, PROXY, HOST = "<trial-key>", "<proxy>", "<host>"

# Every second machine has one of these names, and every second text holds them: they say nothing about a host.
# fmt: off
COMMON_NAMES = frozenset({
    "localhost", "local", "host", "server", "node", "worker", "master", "main", "runner", "build", "builder", "test",
    "dev", "prod", "default", "linux", "ubuntu", "debian", "fedora", "centos", "alpine", "arch", "docker", "container",
    "vm", "box", "pc", "laptop", "desktop", "home", "root", "admin", "user", "app", "web", "api", "gpu",
    "path", "proxy", "trial", "checkout", "tasks",
})
# fmt: on
MIN_PATH_PARTS = 3  # the slash among them: `/root` and `/app` are in every container
MIN_NAME_LENGTH = 3

_TRIAL_KEY = re.escape(trial_keys.PREFIX) + r"[A-Za-z0-9_-]{8,}(?:\.[A-Za-z0-9_-]+)?"
# A line's beginning may be spelt `\n` within the JSON text of a call, and end a colour's code in a terminal's text.
_BEFORE_NAME = r"(?:(?<![\w-])|(?<=\\[nrt])|(?<=\dm))"


class _Rule:
    """One known value: `needle` begins whatever it is, and `pattern` says where it ends and what may stand before."""

    def __init__(self, placeholder: str, needle: str, pattern: str) -> None:
        self.placeholder = placeholder
        self.needle = needle
        self.encoded = encode(needle)[1:-1]
        self._pattern = re.compile(pattern)

    def filled(self, text: str) -> tuple[str, int]:
        """Return `text` with the placeholder, and how often it was put.

        The needle is looked for as plain text, which is a thousand times as fast as the pattern: that is only tried
        where the needle stands.
        """
        parts: list[str] = []
        taken_to, at = 0, text.find(self.needle)
        while at >= 0:
            found = self._pattern.match(text, at)
            if found:
                parts += [text[taken_to:at], self.placeholder]
                taken_to = found.end()
            at = text.find(self.needle, found.end() if found else at + 1)
        return "".join([*parts, text[taken_to:]]) if parts else text, len(parts) // 2


class Placeholders:
    """Puts fixed words into rows: `<trial-key>`, `<proxy>`, `<host>`, and `<path:root>` and its like."""

    def __init__(self, rules: Iterable[_Rule]) -> None:
        self._rules = sorted(rules, key=lambda rule: len(rule.needle), reverse=True)  # a root within a home is a root

    @classmethod
    def of(cls, facts: HostFacts) -> Self:
        """Those for a job whose trials could see `facts`, and for every trial key."""
        return cls([_Rule(TRIAL_KEY, trial_keys.PREFIX, _TRIAL_KEY), *_rules_of(facts)])

    def filled(self, row: Json) -> tuple[Json, bytes, Counter[str]]:
        """Return an IM row with its placeholders, the line that it makes, and how often each stands in it.

        Dialogue, tools and the task's metadata are looked through; the facts that trajgen itself states are not.
        """
        line = encode(row)
        rules = [rule for rule in self._rules if rule.encoded in line]
        counts: Counter[str] = Counter()
        if not rules:  # nearly always, and a row may be of many megabytes
            return row, line, counts
        meta = row["meta_info"]
        facts = meta["unique_info"]
        facts = facts | {"_instance_metadata": _within(facts["_instance_metadata"], rules, counts)}
        row = row | {
            "meta_info": meta | {"unique_info": facts},
            "tools": _within(row["tools"], rules, counts),
            "messages": _within(row["messages"], rules, counts),
        }
        return row, encode(row) if counts else line, counts

    def within(self, value: Any, counts: Counter[str]) -> Any:
        """Return any JSON value with its placeholders, and add to `counts` how often each was put."""
        return _within(value, self._rules, counts)

    def text(self, text: str) -> str:
        """Return `text` with its placeholders, for pages."""
        return _filled(text, self._rules, Counter())


def _within(value: Any, rules: Sequence[_Rule], counts: Counter[str]) -> Any:
    if isinstance(value, str):
        return _filled(value, rules, counts)
    if isinstance(value, list):
        return [_within(each, rules, counts) for each in value]
    if isinstance(value, dict):
        return {name: _within(each, rules, counts) for name, each in value.items()}
    return value


def _filled(text: str, rules: Sequence[_Rule], counts: Counter[str]) -> str:
    for rule in rules:
        text, n = rule.filled(text)
        if n:
            counts[rule.placeholder] += n
    return text


def _rules_of(facts: HostFacts) -> Iterator[_Rule]:
    for address in facts.proxy:
        yield _Rule(PROXY, address, rf"(?<![\w.-]){re.escape(address)}(?!\d)")
    for name in facts.host:
        if len(name) >= MIN_NAME_LENGTH and name.lower() not in COMMON_NAMES:
            yield _Rule(HOST, name, rf"{_BEFORE_NAME}{re.escape(name)}(?![\w-])")
    taken = set[str]()
    for kind, paths in facts.paths.items():
        for path in paths:
            if path not in taken and len(PurePosixPath(path).parts) >= MIN_PATH_PARTS:
                taken.add(path)
                # Within the JSON text of a call a path may have its letters escaped.
                for spelled in dict.fromkeys((path, json.dumps(path)[1:-1])):
                    yield _Rule(f"<path:{kind}>", spelled, rf"{re.escape(spelled)}(?![\w-]|\.\w)")
