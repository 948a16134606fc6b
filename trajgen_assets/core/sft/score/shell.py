"""What a shell command does, as far as its text tells: its segments, the tests it runs, the files it writes."""

import re
import shlex
from collections.abc import Iterator
from functools import lru_cache

from trajgen_assets.core.sft.score import rules

_TOKEN = re.compile(
    r"""'[^']*'|"(?:\\.|[^"\\])*"|\\.|\d*>&\d*-?|&>>?|\|\||&&|[;|&\n]|[^;|&\n'"\\>]+|.""",
    re.DOTALL,
)
_BORDERS = frozenset({";", "|", "||", "&", "&&", "\n"})
_HEREDOC = re.compile(r"(?<!<)<<-?\s*(['\"]?)([A-Za-z_]\w*)\1")
_COMMENT = re.compile(r"(?:^|\s)#.*")
_LEADING = re.compile(
    r"\s*(?:\w+=(?:'[^']*'|\"[^\"]*\"|\S*)"
    rf"|(?:\S*/)?(?:{rules.WRAPPERS})(?:\s+-\S+)*"
    r"|(?:\S*/)?timeout(?:\s+-[ks]\s*\S+|\s+-\S+)*\s+[\d.]+[smhd]?"
    rf"|(?:{rules.RUNNERS_OF_OTHERS})(?:\s+--?\S+)*)\s+"
)
_REDIRECT = re.compile(r"""(?<![\d&>])1?>>?\s*('[^']*'|"[^"]*"|[^\s>&|;'"]+)|'[^']*'|"(?:\\.|[^"\\])*\"""")
_QUOTING = re.compile(r"['\"\\]")
_UNQUOTED_WORD = re.compile(r"[^ \t\r\n]+")
_IN_PLACE = re.compile(r"-[a-zA-Z]*i|--in-place")


def _any_of(patterns: tuple[str, ...], flags: re.RegexFlag = re.NOFLAG) -> re.Pattern[str]:
    return re.compile("|".join(f"(?:{each})" for each in patterns), flags)


_FORMAL = _any_of(rules.FORMAL_TESTS)
_INFORMAL = _any_of(rules.INFORMAL_TESTS)
_NOT_TESTS = _any_of(rules.NOT_TESTS)
_NOT_A_RUN = re.compile(rules.NOT_A_RUN)
_UNEDITED = re.compile(rules.UNEDITED_PATHS)
_SCRIPT_RUN, _SCRIPT_WRITES, _SCRIPT_HAS_WRITE = (
    re.compile(each) for each in (rules.SCRIPT_RUN, rules.SCRIPT_WRITES, rules.SCRIPT_HAS_WRITE)
)


@lru_cache(maxsize=64)  # one turn's command is asked for several times, and never again after its row
def segments(command: str) -> tuple[str, ...]:
    """Return the simple commands of `command`: parted outside quotes, without comments and bodies of heredocs.

    A line ends a command, too: what a later line runs counts, whatever the first one is.
    """
    parts = [""]
    for token in _TOKEN.findall(_without_heredocs(command[: rules.COMMAND_LIMIT])):
        if token in _BORDERS:
            parts.append("")
        else:
            parts[-1] += token
    return tuple(bare for part in parts if (bare := _bare(part)))


@lru_cache(maxsize=64)  # one turn's command is asked for several times, and never again after its row
def kind_of_test(command: str) -> str | None:
    """Return `formal` for a command that runs a test suite, `informal` for a script or one-liner that tries something.

    None for any other: also for one that only reads, installs, builds, serves or lints.
    """
    runs = [segment for segment in segments(command) if head(segment) not in rules.LOOKING_HEADS]
    runs = [segment for segment in runs if not (_NOT_A_RUN.search(segment) or _NOT_TESTS.search(segment))]
    if any(_FORMAL.search(segment) for segment in runs):
        return "formal"
    return "informal" if any(_INFORMAL.search(segment) for segment in runs) else None


def files_written(command: str) -> tuple[str, ...]:
    """Return the files that a command writes: by redirection, `tee`, `patch`, an edit in place, or a script in it."""
    paths = [path for segment in segments(command) for path in _written(segment)]
    return tuple(path for path in (*paths, *_written_by_script(command)) if not _UNEDITED.search(path))


def redirected(segment: str) -> list[str]:
    """Return the files that the output of a segment goes to."""
    return [path.strip("'\"") for path in _REDIRECT.findall(segment) if path]


def head(segment: str) -> str:
    """Return the base name of the program that a segment runs."""
    return segment.split(maxsplit=1)[0].rpartition("/")[2]


def _written(segment: str) -> Iterator[str]:
    program = head(segment)
    if program in rules.PRINTING_HEADS or segment.startswith(">"):
        yield from redirected(segment)
    elif program in {"tee", "patch", "sed", "gsed", "perl"}:
        arguments = words(segment)[1:]
        plain = [word for word in arguments if not word.startswith("-")]
        if program == "tee":
            yield from plain
        elif program == "patch":
            yield from plain[:1]
        elif any(_IN_PLACE.match(word) for word in arguments):
            yield from _edited_in_place(program, arguments)


def _written_by_script(command: str) -> list[str]:
    """Return each file once that a script in a heredoc or after `-c` names and writes."""
    text = command[: rules.COMMAND_LIMIT]
    if not (_SCRIPT_RUN.search(text) and _SCRIPT_HAS_WRITE.search(text)):
        return []
    return list(dict.fromkeys(one or other for one, other in _SCRIPT_WRITES.findall(text)))


def _edited_in_place(program: str, words: list[str]) -> list[str]:
    """Return the files among the words of sed or perl: those after its expression, wherever that stands."""
    takes_one = {"-e", "-f", "--expression", "--file"} | ({"-E", "-pe", "-ne", "-pie"} if program == "perl" else set())
    files: list[str] = []
    has_expression = is_argument = False
    for word in words:
        if is_argument:
            is_argument = False
        elif word.startswith("-"):
            is_argument = word in takes_one or (program == "perl" and word.startswith("-") and word.endswith("e"))
            has_expression = has_expression or is_argument or word.startswith(("--expression=", "--file="))
        else:
            files.append(word)
    return files if has_expression else files[1:]


def words(segment: str) -> list[str]:
    """Return the words of a segment without their quotes; none where a quote is open."""
    text = segment[: rules.COMMAND_LIMIT]
    if not _QUOTING.search(text):  # `shlex` is a hundred times as slow
        return _UNQUOTED_WORD.findall(text)
    try:
        return shlex.split(text)
    except ValueError:  # an open quote: what it holds cannot be told from files
        return []


def _bare(segment: str) -> str:
    """Return a segment without its comment and without what only stands before the program."""
    text = _COMMENT.sub("", segment).strip().lstrip("({").strip()
    while found := _LEADING.match(text):
        text = text[found.end() :]
    return text


def _without_heredocs(command: str) -> str:
    kept: list[str] = []
    ends: list[str] = []
    for line in command.split("\n"):
        if ends:
            if line.strip() == ends[0]:
                ends.pop(0)
            continue
        kept.append(line)
        ends += [end for _, end in _HEREDOC.findall(line)]
    return "\n".join(kept)
