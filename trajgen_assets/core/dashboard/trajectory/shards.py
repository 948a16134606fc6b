"""The data of a trajectory's page in files of a bounded size, each loaded when a reader gets there.

A page that was opened from disk loads scripts and nothing else, so each file is one. `head` has a line of figures for
each entry, `turns-N` the entries themselves with long texts cut to a preview, `texts-N` the whole of these, and `raw-N`
the records. `turns-0` lies in `head`, so that a short trajectory is two files. They are yielded as they fill up: of a
long trajectory only a few are in memory at a time.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import orjson

from trajgen_assets.core.dashboard.render import SiteFile, data_file
from trajgen_assets.core.dashboard.trajectory.model import Entry, FailedCall, Figures, Message, Opening, Turn
from trajgen_assets.core.sft.encoding import encode

ERROR, LEAK, CUT, NOT_TAKEN = 1, 2, 4, 8
TURN, FAILED, UNREADABLE = 0, 1, 2


@dataclass(frozen=True, slots=True)
class Limits:
    """How much of a trajectory is shown. Texts are counted in characters.

    Attributes:
        preview: of a text until somebody asks for the rest.
        text: of a text at all; what is beyond is left out, and said to be.
        raw: of a record; 0 shows none.
        file: bytes of what a verifier left, and four times as many of a patch.
        shard: of one file, about.
        turns: entries of one file.
    """

    preview: int = 2_000
    text: int = 1_000_000
    raw: int = 500_000
    file: int = 64 << 10
    shard: int = 1_000_000
    turns: int = 64


@dataclass
class _Series:
    """Files of one kind, filled one after another."""

    max_chars: int
    max_items: int
    put: Callable[[int, list[Any]], None]
    number: int = 0
    items: list[Any] = field(default_factory=list)
    n_chars: int = 0

    def add(self, item: Any, n_chars: int) -> tuple[int, int]:
        """Take in an item. Returns the number of its file, and its place there."""
        if self.items and (len(self.items) == self.max_items or self.n_chars + n_chars > self.max_chars):
            self.flush()
        self.items.append(item)
        self.n_chars += n_chars
        return self.number, len(self.items) - 1

    def flush(self) -> None:
        """End the file that is being filled."""
        if self.items:
            self.put(self.number, self.items)
            self.number += 1
            self.items, self.n_chars = [], 0


@dataclass(frozen=True, slots=True)
class _Line:
    """An entry without its texts."""

    kind: int
    line: int
    place: tuple[int, int]
    figures: Figures | None = None
    conversation: int = 0
    number: int = 0
    tool_ms: int | None = None
    flags: int = 0

    def shown(self, leaks: frozenset[tuple[int, int]]) -> list[Any]:
        """Itself as `head` has it; the page's script names the places of the list."""
        took = self.figures
        figures = (
            [took.began_at_ms, took.duration_ms, took.n_input_tokens, took.n_output_tokens, took.cost_usd]
            if took
            else [None] * 5
        )
        flags = self.flags | LEAK * ((self.conversation, self.number) in leaks)
        return [self.kind, self.line, *self.place, self.conversation, self.number, *figures, self.tool_ms, flags]


class Shards:
    """The files of one trajectory, `data/<name>~….js`: no name of ours has such a mark in it."""

    def __init__(self, name: str, limits: Limits) -> None:
        self._name = name
        self._limits = limits
        self._full: list[SiteFile] = []
        self._turns = _Series(limits.shard, limits.turns, self._put_turns)
        self._texts = _Series(limits.shard, limits.shard, partial(self._put, "texts"))
        self._raw = _Series(limits.shard, limits.shard, partial(self._put, "raw"))
        self._index: list[_Line] = []
        self._first: list[Any] = []

    def turns(self, entries: Iterable[Entry]) -> Iterator[SiteFile]:
        """Yield the files that `entries` fill, which are not kept themselves."""
        for entry in entries:
            shown, n_chars = self._entry(entry)
            self._index.append(_line_of(entry, self._turns.add(shown, n_chars)))
            yield from self._taken()

    def head(self, openings: Iterable[Opening], leaks: frozenset[tuple[int, int]]) -> Iterator[SiteFile]:
        """Yield what is left, and the file that a page loads first. Call it after all turns.

        Args:
            openings: how each conversation began.
            leaks: conversation and number of turns that have a flag.
        """
        conversations = [self._opening(each) for each in openings]
        for series in (self._turns, self._texts, self._raw):
            series.flush()
        value = {
            "conversations": conversations,
            "turns": self._first,
            "entries": [each.shown(leaks) for each in sorted(self._index, key=lambda each: each.line)],
        }
        yield from self._taken()
        yield data_file(f"{self._name}~head", value)

    def _put(self, kind: str, number: int, items: list[Any]) -> None:
        self._full.append(data_file(f"{self._name}~{kind}-{number}", items))

    def _put_turns(self, number: int, items: list[Any]) -> None:
        if number:
            self._put("turns", number, items)
        else:
            self._first = items

    def _taken(self) -> list[SiteFile]:
        taken = self._full.copy()
        self._full.clear()
        return taken

    def _entry(self, entry: Entry) -> tuple[Mapping[str, Any], int]:
        if isinstance(entry, Turn):
            shown = self._turn(entry)
        elif isinstance(entry, FailedCall):
            shown = {"status": entry.status_code, "error": entry.error, "message": self.text(entry.message)}
            shown["raw"] = self._record(entry.raw)
        else:
            shown = {"why": self.text(entry.why)}
        return shown, len(orjson.dumps(shown))

    def _turn(self, turn: Turn) -> dict[str, Any]:
        calls = [
            {
                "name": self.text(each.name),
                "arguments": self.text(_in_lines(each.arguments)),
                "result": self._message(each.result) if each.result else None,
            }
            for each in turn.calls
        ]
        return {
            "model": turn.model,
            "upstream": turn.upstream,
            "finish": turn.finish_reason,
            "first_token_ms": turn.figures.first_token_ms,
            "cached": turn.figures.n_cached_tokens,
            "thinking": turn.figures.n_reasoning_tokens,
            "reasoning": self.text(turn.reasoning),
            "text": self.text(turn.text),
            "calls": calls,
            "said": self.text(turn.said),
            "commands": [self.text(each) for each in turn.commands],
            "following": [self._message(each) for each in turn.following],
            "raw": self._record(turn.raw),
        }

    def _opening(self, opening: Opening) -> dict[str, Any]:
        return {
            "kind": opening.kind,
            "label": opening.label,
            "forked": opening.forked_from,
            "messages": [self._message(each) for each in opening.messages],
            "tools": [each[:200] for each in opening.tools],
        }

    def _message(self, message: Message) -> dict[str, Any]:
        return {"role": message.role, "text": self.text(message.text), "error": message.is_error}

    def text(self, text: str) -> Any:
        """A short text as it is; of a longer one its beginning, its length, and where the rest lies."""
        if len(text) <= self._limits.preview:
            return text
        start, whole = text[: self._limits.preview], text[: self._limits.text]
        place = self._texts.add(whole, len(whole)) if len(whole) > len(start) else None
        return {"start": start, "length": len(text), "shown": len(whole), "at": place}

    def _record(self, raw: Mapping[str, Any]) -> list[int] | None:
        if not self._limits.raw:
            return None
        try:
            text = orjson.dumps(raw, option=orjson.OPT_INDENT_2).decode()
        except TypeError as error:
            text = f"this record cannot be shown: {error}"
        if len(text) > self._limits.raw:
            text = f"{text[: self._limits.raw]}\n… {len(text) - self._limits.raw} characters more"
        return list(self._raw.add(text, len(text)))


def _in_lines(arguments: str) -> str:
    """The arguments of a call, one a line and texts as they are; what is no JSON object as it is.

    Here and not in the page's script: what an escape of JSON stands for has to be made visible, too.
    """
    try:
        value = orjson.loads(arguments)
    except orjson.JSONDecodeError:
        return arguments
    if not isinstance(value, dict):
        return arguments
    return "\n".join(
        f"{name}: {each if isinstance(each, str) else encode(each).decode()}" for name, each in value.items()
    )


def _line_of(entry: Entry, place: tuple[int, int]) -> _Line:
    if isinstance(entry, Turn):
        flags = ERROR * entry.has_error | CUT * entry.is_cut | NOT_TAKEN * (not entry.is_taken)
        return _Line(TURN, entry.line, place, entry.figures, entry.conversation, entry.number, entry.tool_ms, flags)
    if isinstance(entry, FailedCall):
        return _Line(FAILED, entry.line, place, entry.figures)
    return _Line(UNREADABLE, entry.line, place)
