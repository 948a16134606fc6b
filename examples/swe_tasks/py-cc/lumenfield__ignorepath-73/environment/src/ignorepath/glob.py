"""Turn one pattern into a regular expression over slash-separated paths."""

import re


def to_regex(pattern):
    """Compile a pattern. `*` and `?` stay within a component, `**` crosses them."""
    parts = []
    position = 0
    while position < len(pattern):
        if pattern.startswith("**/", position):
            parts.append("(?:[^/]+/)*")
            position += 3
        elif pattern.startswith("/**", position) and position + 3 == len(pattern):
            parts.append("/.+")
            position += 3
        elif pattern[position] == "*":
            parts.append("[^/]*")
            position += 1
        elif pattern[position] == "?":
            parts.append("[^/]")
            position += 1
        else:
            parts.append(re.escape(pattern[position]))
            position += 1
    return re.compile("".join(parts))
