"""What the stand-in's evaluators come to: by the patch, or as the row's `stand_in.graded` asks.

`graded`: `no_tests` (nothing ran, and called unresolved), `error`, `timeout`, `no_apply`, `dies`. Else a patch that
adds the line `stand_in.fixed_by` (`hello` by default) resolves the task.
"""

import os
from dataclasses import dataclass
from typing import Any

NOTHING_RAN = "cd: /app/repo: No such file or directory"


@dataclass(frozen=True)
class Verdict:
    is_resolved: bool
    has_run: bool
    graded: str | None

    @property
    def f2p(self) -> tuple[list[str], list[str]]:
        return (["test_greeting"], []) if self.is_resolved else ([], ["test_greeting"])

    @property
    def p2p(self) -> tuple[list[str], list[str]]:
        return (["test_other"], []) if self.has_run else ([], ["test_other"])

    @property
    def output(self) -> str:
        return f"test_greeting {'PASSED' if self.is_resolved else 'FAILED'}\n" if self.has_run else NOTHING_RAN


def verdict_on(row: dict[str, Any], patch: str) -> Verdict:
    asked = row.get("stand_in") or {}
    graded = asked.get("graded")
    if graded == "dies":
        os._exit(3)
    if graded is not None:
        return Verdict(False, False, graded)
    return Verdict(f"+{asked.get('fixed_by', 'hello')}" in patch.splitlines(), True, None)
