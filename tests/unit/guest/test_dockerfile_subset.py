import pytest
from hypothesis import given
from hypothesis import strategies as st

from trajgen_assets.guest.harbor.dockerfile_subset import (
    Copy,
    DockerfileError,
    Instruction,
    copy_words,
    env_pairs,
    expand,
    parse,
    run_command,
)


def only(text: str) -> Instruction:
    (instruction,) = parse(text)
    return instruction


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("FROM a\nFROM b", 2),
        ("FROM a\n# note\n\nONBUILD RUN x", 4),
        ("FROM a\nRUN a \\\n  b\nSHELL x", 4),
        ("FROM a\nRUN cat <<EOF > /x\nhello\nEOF", 2),
        ("FROM a\nCOPY <<'EOF' /x\nhello\nEOF", 2),
        ("# escape=`\nFROM a", 1),
        ("FROM a\nFROBNICATE", 2),
    ],
)
def test_what_is_not_understood_names_its_line(text: str, line: int) -> None:
    with pytest.raises(DockerfileError, match=f"Dockerfile line {line}: "):
        parse(text)


@pytest.mark.parametrize(
    "text",
    [
        "COPY --from=build /a /b", "COPY --link a /b", "COPY --chmod=u+x a /b", "COPY a", "COPY 'a /b",
        "ADD a.tar.gz /b", "ADD https://example.org/a /b", "ADD git@example.org:a.git /b",
    ],
)  # fmt: skip
def test_a_copy_that_cannot_be_done_is_refused(text: str) -> None:
    with pytest.raises(DockerfileError, match="line 1"):
        copy_words(only(text), {})


def test_a_run_with_a_mount_is_refused() -> None:
    with pytest.raises(DockerfileError, match="--mount=type=cache"):
        run_command(only("RUN --mount=type=cache,target=/x true"))


@pytest.mark.parametrize("command", ["echo $((1<<3))", "grep x <<< word", "a << 3"])
def test_other_uses_of_angle_brackets_are_no_here_document(command: str) -> None:
    assert run_command(only(f"RUN {command}")) == command


def test_comments_and_blank_lines_inside_a_continuation_vanish() -> None:
    assert run_command(only("RUN one && \\\n# why\n\n   two && \\\n  three")) == "one &&    two &&   three"


@pytest.mark.parametrize("text", ["\\", "\\\n", " \\\n\\\n\n", "\\\n# only a note"])
def test_continuations_of_nothing_are_no_instruction(text: str) -> None:
    assert parse(text) == []


def test_a_comment_in_a_shell_line_stays() -> None:
    assert run_command(only("run echo '#' # note")) == "echo '#' # note"


def test_the_json_forms_are_taken_word_by_word() -> None:
    assert run_command(only('RUN ["sh", "-c", "echo a b"]')) == "sh -c 'echo a b'"
    assert copy_words(only('COPY ["a b", "/c d/"]'), {}) == Copy(("a b",), "/c d/", None)
    assert run_command(only("RUN [ -f /x ]")) == "[ -f /x ]"


def test_env_has_two_forms_and_knows_quotes_and_earlier_names() -> None:
    assert env_pairs(only('ENV A="x y" B=$OLD C=a\\ b D=\\$OLD'), {"OLD": "was it"}) == {
        "A": "x y",
        "B": "was it",
        "C": "a b",
        "D": "$OLD",
    }
    assert env_pairs(only("ENV NAME the $OLD  way"), {"OLD": "good"}) == {"NAME": "the good  way"}
    for wrong in ("ENV NAME", "ENV A=1 B", "ENV A='1"):
        with pytest.raises(DockerfileError):
            env_pairs(only(wrong), {})


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("$A/${A}b$AB", "1/1b"),
        ("${NO:-x y}${A:-no}", "x y1"),
        ("${A:+set}${NO:+set}", "set"),
        ("\\$A $$", "$A $$"),
    ],
)
def test_variables_are_replaced_as_docker_does(text: str, expected: str) -> None:
    assert expand(text, {"A": "1"}) == expected


def test_copy_reads_flags_variables_and_several_sources() -> None:
    instruction = only("COPY --chown=me:me --chmod=0755 a $B /c/")
    assert copy_words(instruction, {"B": "b"}) == Copy(("a", "b"), "/c/", 0o755)


def test_instructions_without_meaning_here_are_left_out() -> None:
    assert [each.name for each in parse('FROM x\nUSER a\nLABEL b=c\nCMD ["x"]\nHEALTHCHECK NONE\nRUN true')] == [
        "FROM",
        "RUN",
    ]


@given(st.text())
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        parse(text)
    except DockerfileError:
        return
