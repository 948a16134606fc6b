from pathlib import Path

import pytest

from tests.unit.provision.twins import script
from trajgen_assets.core.errors import RequirementError
from trajgen_assets.core.provision.packages import Authority, install_line, install_packages

ROOT = Authority(is_root=True)
NOBODY = Authority()


def machine(tmp_path: Path, **programs: str) -> dict[str, str]:
    for name, body in programs.items():
        script(tmp_path / "bin" / name.replace("_", "-"), body)
    return {"PATH": f"{tmp_path / 'bin'}", "HOME": str(tmp_path)}


def silent(_line: str) -> None:
    return


@pytest.mark.parametrize(
    ("manager", "line"),
    [
        ("apt_get", "sudo apt-get install -y --no-install-recommends tmux bubblewrap"),
        ("dnf", "sudo dnf install -y tmux bubblewrap"),
        ("pacman", "sudo pacman -S --noconfirm --needed tmux bubblewrap"),
        ("zypper", "sudo zypper --non-interactive install tmux bubblewrap"),
        ("apk", "sudo apk add tmux bubblewrap"),
    ],
)
def test_the_line_to_run_is_that_of_the_systems_own_manager(tmp_path: Path, manager: str, line: str) -> None:
    assert install_line(["tmux", "bubblewrap"], machine(tmp_path, **{manager: ""}), is_root=False) == line


def test_without_root_and_terminal_nothing_is_run_and_the_line_is_told(tmp_path: Path) -> None:
    environ = machine(tmp_path, apt_get=f"echo ran > {tmp_path}/ran", sudo=f"echo ran > {tmp_path}/ran")
    with pytest.raises(RequirementError, match=r"missing on this system: tmux.*run `sudo apt-get install -y"):
        install_packages(["tmux"], NOBODY, environ, silent)
    assert not (tmp_path / "ran").exists()


def test_without_a_manager_that_we_know_even_root_is_told(tmp_path: Path) -> None:
    with pytest.raises(RequirementError, match="install tmux with the package manager of this system"):
        install_packages(["tmux"], ROOT, {"PATH": str(tmp_path)}, silent)


def test_root_installs_at_once_and_does_not_refresh_needlessly(tmp_path: Path) -> None:
    environ = machine(tmp_path, apt_get=f'echo "$DEBIAN_FRONTEND $*" >> {tmp_path}/calls')
    install_packages(["tmux", "bubblewrap"], ROOT, environ, silent)
    expected = "noninteractive install -y --no-install-recommends tmux bubblewrap\n"
    assert (tmp_path / "calls").read_text(encoding="utf-8") == expected


def test_a_fresh_image_without_package_lists_is_refreshed_first(tmp_path: Path) -> None:
    body = f'echo "$1" >> {tmp_path}/calls; [ "$1" = update ] && : > {tmp_path}/lists; [ -e {tmp_path}/lists ]'
    install_packages(["tmux"], ROOT, machine(tmp_path, apt_get=body), silent)
    assert (tmp_path / "calls").read_text(encoding="utf-8").split() == ["install", "update", "install"]


def test_at_a_terminal_sudo_is_used_once_it_was_agreed_to(tmp_path: Path) -> None:
    asked: list[str] = []
    environ = machine(tmp_path, apt_get="", sudo=f'echo "$*" > {tmp_path}/calls')

    def agree(question: str) -> bool:
        asked.append(question)
        return True

    install_packages(["tmux"], Authority(ask=agree), environ, silent)
    assert asked == ["Install what is missing with `sudo apt-get install -y --no-install-recommends tmux`?"]
    assert (tmp_path / "calls").read_text(encoding="utf-8").startswith("apt-get install -y")


def test_a_failed_installation_says_what_the_manager_said(tmp_path: Path) -> None:
    with pytest.raises(RequirementError, match=r"tmux could not be installed: E: no such package\. Mend: run `apk add"):
        install_packages(["tmux"], ROOT, machine(tmp_path, apk="echo 'E: no such package'; exit 100"), silent)
