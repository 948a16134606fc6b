"""On another machine than the declared one no job begins, and the line that begins it there does what it says."""

import os
import pty
import shlex
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tests.unit.provision.twins import script
from trajgen_assets.core.config.models import Resources
from trajgen_assets.core.errors import RefusedError
from trajgen_assets.core.paths import PROJECT
from trajgen_assets.core.preflight.host import is_here, line_for, own_addresses, refuse_elsewhere

ELSEWHERE = "192.0.2.77"  # of a block that documents use and nobody has
HARD = 'it\'s "a" $(touch owned) `touch owned`; touch owned #'


@pytest.mark.parametrize("ip", ["local", "localhost", "127.0.0.1", "::1", socket.gethostname().upper()])
def test_this_machine_is_known_by_its_names(ip: str) -> None:
    refuse_elsewhere(Resources(ip=ip))


def test_and_by_each_of_its_addresses() -> None:
    assert own_addresses() >= {"127.0.0.1"}
    assert all(is_here(address) for address in own_addresses())


@pytest.mark.parametrize("ip", [ELSEWHERE, "2001:db8::77", "no-such-host.invalid"])
def test_another_one_is_refused_with_the_line_that_begins_the_job_there(ip: str) -> None:
    resources = Resources(ip=ip, user="runner", directory="/srv/trajgen")
    with pytest.raises(RefusedError) as refused:
        refuse_elsewhere(resources)
    assert f"ssh -t -- runner@{ip} " in str(refused.value)
    assert line_for(resources) in str(refused.value)


def test_without_user_and_folder_it_is_the_same_name_and_the_same_folder() -> None:
    words = shlex.split(line_for(Resources(ip=ELSEWHERE)))
    assert words[:4] == ["ssh", "-t", "--", ELSEWHERE]
    assert shlex.split(words[4])[:3] == ["cd", "--", str(PROJECT)]


@pytest.mark.parametrize("value", ["-oProxyCommand=touch", "a b", "a\nb", "a\x00b", "a\x1bb"])
@pytest.mark.parametrize("key", ["ip", "user"])
def test_what_would_be_an_option_or_two_words_is_no_login(key: str, value: str) -> None:
    with pytest.raises(ValueError, match="should be one word"):
        Resources(**{key: value})


@pytest.mark.parametrize("folder", ["there", HARD])
def test_each_value_is_one_word_for_both_shells(tmp_path: Path, folder: str) -> None:
    """`ssh` and `tmux` are stand-ins that do what those do with their words; what is run is the shells themselves."""
    home, said = tmp_path / "home", tmp_path / "said"
    (home / folder).mkdir(parents=True)
    bin_dir = tmp_path / "bin"
    script(bin_dir / "ssh", f'printf "%s\\n" "$3" > "{said}"; cd "$HOME"; exec sh -c "$4"')
    script(bin_dir / "tmux", f'pwd >> "{said}"; printf "%s\\n" "$5" >> "{said}"')
    line = line_for(Resources(ip=ELSEWHERE, user="u'$(touch${IFS}owned)", directory=f"~/{folder}"))
    environ = {"PATH": f"{bin_dir}:/usr/bin:/bin", "HOME": str(home)}
    subprocess.run(["sh", "-c", line], env=environ, cwd=tmp_path, check=True)
    login, where, command = said.read_text().splitlines()
    assert (login, where) == (f"u'$(touch${{IFS}}owned)@{ELSEWHERE}", str(home / folder))
    assert command == '.venv/bin/trajgen start; exec "${SHELL:-sh}"'
    assert not list(tmp_path.rglob("owned"))


def level_in_terminal(environ: dict[str, str]) -> str:
    code = "from trajgen_assets.core.preflight.host import terminal; print(terminal(None).level.value)"
    ours, theirs = pty.openpty()
    try:
        done = subprocess.run(
            [sys.executable, "-c", code], stdin=theirs, stdout=subprocess.PIPE, text=True, env=environ, check=True
        )
    finally:
        os.close(ours)
        os.close(theirs)
    return done.stdout.strip()


def test_in_a_bare_terminal_tmux_is_recommended_and_not_required() -> None:
    bare = {name: value for name, value in os.environ.items() if name not in ("TMUX", "STY")}
    assert level_in_terminal(bare) == "warn"
    assert level_in_terminal(bare | {"TMUX": "/tmp/tmux-1000/default,1,0"}) == "ok"
