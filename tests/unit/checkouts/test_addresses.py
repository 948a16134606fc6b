"""What git is never given, because it would take it for an option or a program; and which addresses are the same."""

import pytest

from trajgen_assets.core.checkouts.addresses import address_problem, allowed_protocols, normal_url, ref_problem


@pytest.mark.parametrize(
    "url",
    [
        "https://git.example/t/h.git",
        "ssh://git@git.example:22/t/h",
        "git@git.example:t/h.git",
        "git.example:t/h",
        "/srv/git/h.git",
        "../h.git",
        "file:///srv/git/h.git",
        "http://127.0.0.1:8000/h.git",
        "git://localhost/h",
    ],
)
def test_an_address_of_a_known_transport_is_taken(url: str) -> None:
    assert address_problem(url) is None


@pytest.mark.parametrize(
    "url",
    [
        "--upload-pack=touch /tmp/x",
        "-oProxyCommand=x",
        "ext::sh -c touch% /tmp/x",
        "fd::3",
        "http://git.example/t/h",
        "git://git.example/t/h",
        "ftp://git.example/t/h",
        "https://token@git.example/t/h",
        "https://git.example/t/h\n--x",
        "ssh://-oProxyCommand=x/h",
        "-x@git.example:t/h",
    ],
)
def test_an_address_that_is_an_option_a_program_or_unproven_is_refused(url: str) -> None:
    assert address_problem(url)


@pytest.mark.parametrize("ref", ["main", "v1.2", "feature/a-b", "origin/main", "1" * 40])
def test_a_name_of_a_branch_or_tag_is_taken(ref: str) -> None:
    assert ref_problem(ref) is None


@pytest.mark.parametrize("ref", ["--upload-pack=x", "-x", "a..b", "a b", "a:b", "HEAD@{1}", "a^{}", "", "a.lock"])
def test_a_name_that_is_an_option_or_an_expression_is_refused(ref: str) -> None:
    assert ref_problem(ref)


def test_an_address_is_the_same_in_each_of_its_forms() -> None:
    forms = (
        "https://u@git.example/t/h.git",
        "git@git.example:t/h",
        "ssh://git@git.example/t/h",
        "https://git.example/t/h/",
    )
    assert {normal_url(form) for form in forms} == {"git.example/t/h"}


def test_git_may_use_the_transport_of_the_address_and_proven_ones() -> None:
    assert allowed_protocols("https://git.example/t/h") == "https:ssh"
    assert allowed_protocols("/srv/h.git") == "https:ssh:file"
