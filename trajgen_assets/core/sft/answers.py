"""How the turns of a conversation came to be: which model gave each, and whether it was cut off.

Agents do not send that back, so it is looked up in the answers of all calls. Nothing of one is kept but 16 bytes and
its model.
"""

import re
from collections.abc import Iterable

from trajgen_assets.core.sft.branches import next_key
from trajgen_assets.core.sft.messages import Json
from trajgen_assets.core.sft.records import call_fault

# Reasons that mean a limit ended the answer. The record has null where the client left, and LiteLLM never otherwise.
CUT_REASONS = frozenset({"length", "max_tokens", "model_context_window_exceeded", None})


_SPACED_AND_QUOTED = re.compile(r"[\s\"'\\]+")


class Answers:
    """The answers of one trial, by what they say."""

    def __init__(self, responses: Iterable[Json] = ()) -> None:
        self._models: dict[bytes, set[str]] = {}
        self._is_cut: dict[bytes, bool] = {}
        self.models: set[str] = set()
        for response in responses:
            self.add(response)

    def facts(self, messages: list[Json]) -> Json:
        """Return `n_cut_turns` and `teachers` of a conversation; null where an answer that would tell is not found.

        An answer that was given several times in the same words counts as cut if it was so each time, and as the
        teacher's where one of its models is.
        """
        keys = [next_key(b"", message) for message in messages if message["role"] == "assistant"]
        cuts = [self._is_cut.get(key) for key in keys]
        n_cut = cuts.count(True)
        return {"n_cut_turns": n_cut if n_cut or None not in cuts else None, "teachers": self._teachers(keys)}

    def _teachers(self, keys: list[bytes]) -> list[str] | None:
        if len(self.models) < 2:
            return sorted(self.models)
        given = [self._models.get(key, set()) for key in keys]
        known = [models for models in given if models]
        if known and not (common := set.intersection(*known)):
            return sorted(set[str]().union(*known))
        return [min(common)] if known and len(known) == len(given) else None

    def add(self, response: Json) -> None:
        """Take in the response to a call, which may have failed."""
        choices = response.get("choices")
        choice = choices[0] if isinstance(choices, list) and choices and isinstance(choices[0], dict) else {}
        message = choice.get("message")
        if not isinstance(message, dict) or call_fault(message):  # which rejects the trial, not here
            return
        key = next_key(b"", message | {"role": "assistant"})
        if "finish_reason" in choice and isinstance(reason := choice["finish_reason"], str | None):
            self._is_cut[key] = reason in CUT_REASONS and self._is_cut.get(key, True)
        if isinstance(model := response.get("model"), str):
            self.models.add(model)
            self._models.setdefault(key, set()).add(model)


def holds_instruction(messages: list[Json], instruction: str) -> bool | None:
    """Whether what the model was told before its first turn has the task's instruction, however spaced and quoted.

    OpenCode puts it in quotes, and a backslash before its own. None where the instruction is not known.
    """
    wanted = _SPACED_AND_QUOTED.sub("", instruction)
    if not wanted:
        return None
    for message in messages:
        if message["role"] == "assistant":
            return False
        if wanted in _SPACED_AND_QUOTED.sub("", message["content"]):
            return True
    return False
