"""Read the text of one layer."""

import re

from stanzaconf.errors import SyntaxProblem

_HEADER = re.compile(r"\[\s*([A-Za-z][\w-]*)\s*\]")
_PAIR = re.compile(r"([A-Za-z][\w-]*)\s*=\s*(.*)")


def parse(text):
    """Return `{stanza: {key: raw value}}` of one layer.

    A line that starts with blanks continues the value before it, joined by one
    space. `#` starts a comment at the beginning of a line or after a blank.
    """
    stanzas = {}
    current, last_key = None, None
    for number, line in enumerate(text.splitlines(), start=1):
        stripped = _without_comment(line).rstrip()
        if not stripped:
            last_key = None
            continue
        if line[0].isspace() and current is not None and last_key is not None:
            current[last_key] = f"{current[last_key]} {stripped.strip()}".strip()
            continue
        header = _HEADER.fullmatch(stripped.strip())
        if header:
            current, last_key = stanzas.setdefault(header.group(1), {}), None
            continue
        pair = _PAIR.fullmatch(stripped.strip())
        if pair is None or current is None:
            raise SyntaxProblem(number, line)
        last_key = pair.group(1)
        current[last_key] = pair.group(2)
    return stanzas


def _without_comment(line):
    if line.lstrip().startswith("#"):
        return ""
    return re.split(r"\s#", line, maxsplit=1)[0]


def merge(layers):
    """Merge parsed layers; a later layer wins key by key."""
    merged = {}
    for layer in layers:
        for stanza, values in layer.items():
            merged.setdefault(stanza, {}).update(values)
    return merged
