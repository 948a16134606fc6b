"""Chat templates: how a tokenizer writes a conversation as one text.

A template comes with a tokenizer and is a program of somebody else's. It runs in Jinja's sandbox, where it can read
what it is given and change nothing. It learns no date, so that equal rows give equal texts.
"""

import json
from pathlib import Path
from typing import Any, NoReturn, Self

import orjson
from jinja2 import Template, TemplateError, TemplateSyntaxError
from jinja2.ext import Extension
from jinja2.nodes import Node
from jinja2.parser import Parser
from jinja2.sandbox import ImmutableSandboxedEnvironment

from trajgen_assets.core.errors import ConversionError
from trajgen_assets.core.sft.messages import Json
from trajgen_assets.core.sft.tokens import RefusedByTemplateError
from trajgen_assets.core.sft.tokens.source import TokenizerFiles

OURS = Path(__file__).with_name("chatml.jinja")
_SPECIAL_TOKENS = ("bos_token", "eos_token", "pad_token", "unk_token")


class ChatTemplate:
    """Writes conversations."""

    def __init__(self, template: Template, special_tokens: dict[str, str]) -> None:
        self._template = template
        self._special_tokens = special_tokens

    @classmethod
    def of(cls, files: TokenizerFiles | None) -> Self:
        """Return the template of a tokenizer; ours where it has none, or there is no tokenizer.

        Raises:
            ConversionError: its configuration or its template cannot be read.
        """
        config = _config(files.config) if files and files.config else {}
        source = files.template.read_text(encoding="utf-8") if files and files.template else _named_default(config)
        if source is None:
            return cls(_compiled(OURS.read_text(encoding="utf-8"), OURS), {})
        special = {name: _token_text(config.get(name)) for name in _SPECIAL_TOKENS}
        return cls(_compiled(source, files.template or files.config if files else None), special)

    def render(self, messages: list[Json], tools: list[Json]) -> str:
        """Return the text of a conversation, messages and tools as OpenAI's clients have them.

        Raises:
            RefusedByTemplateError: the template cannot or will not write it.
        """
        try:
            return self._template.render(
                messages=messages, tools=tools, add_generation_prompt=False, **self._special_tokens
            )
        except (TemplateError, TypeError, ValueError, ArithmeticError, LookupError, AttributeError) as error:
            raise RefusedByTemplateError(str(error) or type(error).__name__) from error


class _Generation(Extension):
    """`{% generation %}` marks what a model wrote, for trainers that mask the rest; it changes no text."""

    tags = {"generation"}  # noqa: RUF012 - Jinja reads it so

    def parse(self, parser: Parser) -> list[Node]:
        next(parser.stream)
        return parser.parse_statements(("name:endgeneration",), drop_needle=True)


def _compiled(source: str, where: Path | None) -> Template:
    extensions = ["jinja2.ext.loopcontrols", _Generation]
    environment = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True, extensions=extensions)
    environment.filters["tojson"] = _to_json
    environment.globals["raise_exception"] = _refuse
    try:
        return environment.from_string(source)
    except TemplateSyntaxError as error:
        mend = "name a tokenizer with another chat template"
        raise ConversionError("the chat template cannot be read", where=where, why=error, mend=mend) from error


def _to_json(value: Any, ensure_ascii: bool = False, indent: int | None = None, **options: Any) -> str:
    """Templates expect plain JSON; Jinja's own filter is for web pages and writes `<` as an escape."""
    return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent, **options)


def _refuse(message: str) -> NoReturn:
    raise RefusedByTemplateError(message)


def _config(path: Path) -> Json:
    try:
        config = orjson.loads(path.read_bytes())
    except orjson.JSONDecodeError as error:
        mend = "fetch the tokenizer again"
        raise ConversionError("the tokenizer's configuration is not JSON", where=path, why=error, mend=mend) from error
    return config if isinstance(config, dict) else {}


def _named_default(config: Json) -> str | None:
    """Return the template of a configuration; of several, which have names, that for all ends."""
    chosen = config.get("chat_template")
    if isinstance(chosen, list):
        named = {each.get("name"): each.get("template") for each in chosen if isinstance(each, dict)}
        chosen = named.get("default")
    return chosen if isinstance(chosen, str) else None


def _token_text(token: Any) -> str:
    text = token.get("content") if isinstance(token, dict) else token
    return text if isinstance(text, str) else ""
