import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from scripts.docker_engine import (
    SAMPLE_BASE,
    Machine,
    Recipe,
    download,
    engine_options,
    ensure,
    ensure_base_image,
    file_system,
    machine_here,
    mirror_of,
    recipe_here,
    shortcomings,
    start_ticks,
    stop,
)
from tests.unit.provision.twins import script
from trajgen_assets.core.errors import RequirementError

SILENT = "Cannot connect to the Docker daemon at unix:///x. Is the docker daemon running?"
COMPOSE_1 = "echo 'docker: unknown command: docker compose' >&2; exit 1"
COMPOSE_2 = "echo 'Docker Compose version 2.26.1-4'"
BUILDX = "echo 'github.com/docker/buildx 0.13.1+ds1 0.13.1+ds1-3'"


class Place:
    """A folder that counts as `/`, with programs that write down how they were called, and none of the host's."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.said: list[str] = []
        environ = {"PATH": str(folder / "bin"), "HOME": str(folder)}
        self.machine = Machine(environ, folder / "state", folder / "cache", self.said.append, True, folder)
        self.write("etc/os-release", 'ID=debian\nVERSION_CODENAME="bookworm"\n')
        (folder / "bin").mkdir()
        for tool in ("cp", "sleep", "touch"):
            (folder / "bin" / tool).symlink_to(shutil.which(tool) or tool)

    def write(self, path: str, text: str) -> Path:
        (self.folder / path).parent.mkdir(parents=True, exist_ok=True)
        (self.folder / path).write_text(text, encoding="utf-8")
        return self.folder / path

    def program(self, name: str, body: str) -> None:
        script(self.folder / "bin" / name, f'echo "{name} $*" >> "{self.folder}/calls"\n{body}')

    def docker(self, *, compose: str = COMPOSE_2, label: str = "") -> None:
        engine = f'[ -e "{self.folder}/answers" ] && echo 20.10 || {{ echo "{SILENT}"; exit 1; }}'
        plugins = f"compose) {compose};; buildx) {BUILDX};;"
        cases = f"version) {engine};; {plugins} image) echo '{label}';;"
        self.program("docker", f'case "$1" in {cases} esac')

    def engine_runs(self) -> None:
        self.write("answers", "")

    @property
    def calls(self) -> list[str]:
        path = self.folder / "calls"
        return path.read_text(encoding="utf-8").splitlines() if path.exists() else []

    def calls_of(self, program: str) -> list[str]:
        return [line for line in self.calls if line.split()[0] == program]


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


@pytest.fixture
def sleeper() -> Iterator["subprocess.Popen[bytes]"]:
    process = subprocess.Popen(["sleep", "60"], start_new_session=True)
    yield process
    process.kill()
    process.wait()


def recorded(place: Place, pid: int, ticks: int | None) -> None:
    place.write("state/docker-engine.json", json.dumps({"schema_version": 1, "pid": pid, "start_ticks": ticks}))


def test_without_a_client_it_is_the_client_that_is_missing(place: Place) -> None:
    assert shortcomings(place.machine)[0] == "no engine answers: there is no docker client"


def test_a_silent_engine_and_an_old_compose_are_both_told(place: Place) -> None:
    place.docker(compose=COMPOSE_1)
    assert shortcomings(place.machine) == [
        "no engine answers: Cannot connect to the Docker daemon at unix:///x",
        "the client has no compose of version 2 or newer",
    ]


def test_a_compose_of_version_1_is_not_enough(place: Place) -> None:
    place.docker(compose="echo 'docker-compose version 1.29.2'")
    place.engine_runs()
    assert shortcomings(place.machine) == ["the client has no compose of version 2 or newer"]


def test_where_all_answers_nothing_is_done_and_root_is_not_asked_for(place: Place) -> None:
    place.docker()
    place.engine_runs()
    ensure(replace(place.machine, is_root=False))
    assert {line.split()[0] for line in place.calls} == {"docker"}


def test_who_is_not_root_is_told_the_line_to_run(place: Place) -> None:
    place.docker()
    with pytest.raises(RequirementError, match=r"only root may install and start an engine\. Mend: run `sudo python3 "):
        ensure(replace(place.machine, is_root=False))


def test_a_named_engine_that_is_silent_is_not_replaced_by_another(place: Place) -> None:
    place.docker()
    machine = replace(place.machine, environ={**place.machine.environ, "DOCKER_HOST": "tcp://127.0.0.1:9"})
    with pytest.raises(RequirementError, match=r"DOCKER_HOST names an engine .*tcp://127\.0\.0\.1:9"):
        ensure(machine)
    assert not (place.folder / "state").exists()


def test_on_a_system_without_apt_it_says_what_to_do_instead(place: Place) -> None:
    with pytest.raises(RequirementError, match=r"on Debian and its kind only\. Mend: install Docker"):
        ensure(place.machine)


def test_what_is_missing_is_installed_and_the_engine_started(place: Place) -> None:
    place.docker()
    place.program("dockerd", f'touch "{place.folder}/answers"; exec sleep 60')
    (place.folder / "bin" / "dockerd").rename(place.folder / "docker.io")
    place.program("apt-get", f'cp "{place.folder}/docker.io" "{place.folder}/bin/dockerd"')
    ensure(place.machine)
    assert place.calls_of("apt-get") == ["apt-get install -y --no-install-recommends docker.io"]
    pid = json.loads(place.machine.record.read_text(encoding="utf-8"))["pid"]
    assert start_ticks(pid) is not None
    assert place.calls_of("dockerd")[0].startswith("dockerd --log-level=warn --default-address-pool=base=")
    ensure(place.machine)
    assert len(place.calls_of("dockerd")) == 1
    stop(place.machine)
    assert start_ticks(pid) is None
    assert not place.machine.record.exists()


def test_an_engine_that_cannot_run_here_is_told_by_its_own_last_words(place: Place) -> None:
    place.docker()
    place.program("dockerd", "echo 'level=warning'; echo 'failed to start daemon: no overlay' >&2; exit 1")
    with pytest.raises(
        RequirementError, match=r"does not run here \(.*log\): failed to start daemon: no overlay\. Mend"
    ):
        ensure(place.machine)
    assert place.said[-2:] == ["  | level=warning", "  | failed to start daemon: no overlay"]
    assert not place.machine.record.exists()


def test_of_an_earlier_failure_in_the_same_log_nothing_is_told(place: Place) -> None:
    place.docker()
    place.write("state/docker-engine.log", "failed to start daemon: long ago\n")
    place.program("dockerd", "echo 'failed to start daemon: today'; exit 1")
    with pytest.raises(RequirementError, match="today"):
        ensure(place.machine)
    assert "  | failed to start daemon: long ago" not in place.said


def test_an_option_that_the_settings_file_has_is_not_given_again(place: Place) -> None:
    place.write("etc/docker/daemon.json", '{"default-address-pools": []}')
    assert engine_options(place.machine) == ["--log-level=warn"]
    place.write("etc/docker/daemon.json", '{"log-level": "info"}')
    assert [option.split("=")[0] for option in engine_options(place.machine)] == ["--default-address-pool"] * 2


def test_a_pid_file_of_the_dead_does_not_keep_the_engine_from_starting(
    place: Place, sleeper: "subprocess.Popen[bytes]"
) -> None:
    pid_file = place.write("run/docker.pid", str(sleeper.pid))
    place.docker()
    place.program("dockerd", f'[ -e "{pid_file}" ] && exit 1; touch "{place.folder}/answers"; exec sleep 60')
    ensure(place.machine)
    stop(place.machine)
    assert sleeper.poll() is None


def test_stop_ends_the_recorded_engine(place: Place, sleeper: "subprocess.Popen[bytes]") -> None:
    recorded(place, sleeper.pid, start_ticks(sleeper.pid))
    stop(place.machine)
    assert sleeper.wait(5) == -15


@pytest.mark.parametrize("ticks", [1, None])
def test_stop_leaves_a_process_that_only_has_the_number_of_ours(
    place: Place, sleeper: "subprocess.Popen[bytes]", ticks: int | None
) -> None:
    recorded(place, sleeper.pid, ticks)
    stop(place.machine)
    assert sleeper.poll() is None
    assert place.said == ["no engine that this started is running"]


@pytest.mark.parametrize("text", ["", "{", "{}"])
def test_stop_takes_a_torn_record_for_none(place: Place, text: str) -> None:
    place.write("state/docker-engine.json", text)
    stop(place.machine)
    assert place.said == ["no engine that this started is running"]


def targets(*lines: str) -> str:
    return f"[ $1 = indextargets ] && printf '%s\\n' {' '.join(map(repr, lines))}; exit 0"


def test_the_mirror_is_the_one_that_apt_uses_for_this_release(place: Place) -> None:
    rows = (
        "bookworm-security bookworm-security main http://127.0.0.1/security/",
        "bookworm bookworm contrib http://127.0.0.1/contrib/",
        "stable bookworm main http://127.0.0.1/debian/",
    )
    place.program("apt-get", targets(*rows))
    assert mirror_of(place.machine, "bookworm") == "http://127.0.0.1/debian/"


def test_a_machine_without_a_mirror_of_its_release_is_told(place: Place) -> None:
    place.program("apt-get", targets("bullseye bullseye main http://127.0.0.1/debian/"))
    with pytest.raises(RequirementError, match=r"apt has no mirror of bookworm main\. Mend: name one in"):
        mirror_of(place.machine, "bookworm")


def plugins_appear(place: Place) -> str:
    """The body of an apt-get whose installation brings compose v2."""
    return f'case "$*" in *install*) touch "{place.folder}/compose";; *download*) touch a.deb;; esac'


def test_a_release_that_has_compose_v2_is_not_left_for_another(place: Place) -> None:
    place.docker(compose=f'[ -e "{place.folder}/compose" ] && {COMPOSE_2}')
    place.engine_runs()
    place.program(
        "apt-cache", "printf 'docker-compose-v2:\\n  Installed: (none)\\n  Candidate: 2.24.6+ds1-0ubuntu2\\n'"
    )
    place.program("apt-get", plugins_appear(place))
    ensure(place.machine)
    assert place.calls_of("apt-get") == ["apt-get install -y --no-install-recommends docker-compose-v2"]


def test_where_the_release_has_only_version_1_the_next_release_is_asked(place: Place) -> None:
    place.docker(compose=f'[ -e "{place.folder}/compose" ] && {COMPOSE_2}')
    place.engine_runs()
    place.program("apt-cache", "printf 'docker-compose:\\n  Installed: (none)\\n  Candidate: 1.29.2-3\\n'")
    place.program("apt-get", f"{targets('bookworm bookworm main http://127.0.0.1/d/')[:-6]}\n{plugins_appear(place)}")
    ensure(place.machine)
    verbs = [line.split()[-1] for line in place.calls_of("apt-get")]
    assert verbs[1:3] == ["update", "docker-compose"]
    assert place.calls_of("apt-get")[-1].endswith("/a.deb")


def test_a_release_of_which_no_successor_is_known_is_told_by_name(place: Place) -> None:
    place.write("etc/os-release", "VERSION_CODENAME=buster\n")
    place.docker(compose=COMPOSE_1)
    place.engine_runs()
    place.program("apt-cache", "printf 'docker-compose:\\n  Candidate: 1.21.0-3\\n'")
    place.program("apt-get", "exit 0")
    with pytest.raises(RequirementError, match=r"buster has no docker-compose\. Mend: install docker compose v2"):
        ensure(place.machine)


@pytest.mark.skipif(shutil.which("apt-get") is None, reason="apt is not on this system")
def test_a_mirror_without_a_signature_is_refused_by_apt_itself(tmp_path: Path) -> None:
    release = tmp_path / "mirror" / "dists" / "trixie" / "Release"
    release.parent.mkdir(parents=True)
    release.write_text(
        "Suite: trixie\nCodename: trixie\nComponents: main\nArchitectures: amd64 arm64\n", encoding="utf-8"
    )
    (tmp_path / "apt").mkdir()
    machine = machine_here(tmp_path / "state", tmp_path / "cache", print)
    with pytest.raises(RequirementError, match=r"no trixie that can be trusted.*is not signed"):
        download(machine, f"file:{tmp_path / 'mirror'}", "trixie", ["docker-compose"], tmp_path / "apt")


def mmdebstrap(
    place: Place, body: str = 'for each; do case "$each" in *.tar) echo root > "$each";; esac; done'
) -> None:
    place.program("mmdebstrap", body)
    place.program("setpriv", 'while [ "$1" != mmdebstrap ]; do shift; done; exec "$@"')
    place.program("apt-get", targets("bookworm bookworm main http://127.0.0.1/debian/"))
    place.program("dpkg", "echo amd64")


def test_without_an_engine_there_is_no_base_image(place: Place) -> None:
    place.docker()
    with pytest.raises(RequirementError, match=r"no engine answers: Cannot connect.*ensure` as root"):
        ensure_base_image(place.machine)


def test_an_image_by_the_same_recipe_is_not_made_again_and_needs_no_root(place: Place) -> None:
    mmdebstrap(place)
    place.docker(label=recipe_here(place.machine).digest)
    place.engine_runs()
    ensure_base_image(replace(place.machine, is_root=False))
    assert place.said == [f"{SAMPLE_BASE.name} is up to date"]
    assert not place.calls_of("mmdebstrap")


def test_the_image_is_imported_with_its_recipe_and_its_file_system_is_made_once(place: Place) -> None:
    mmdebstrap(place)
    place.docker(label="another recipe")
    place.engine_runs()
    ensure_base_image(place.machine)
    ensure_base_image(place.machine)
    assert len(place.calls_of("mmdebstrap")) == 1
    (imported, _) = [line for line in place.calls_of("docker") if line.startswith("docker import")]
    assert f"LABEL trajgen.recipe={recipe_here(place.machine).digest}" in imported
    assert imported.endswith(f".tar {SAMPLE_BASE.name}")


def test_a_file_system_that_failed_leaves_nothing_in_the_cache(place: Place) -> None:
    mmdebstrap(place, 'echo half > "$TMPDIR/left"; echo "E: no space left" >&2; exit 1')
    with pytest.raises(RequirementError, match=r"file system .* could not be made: E: no space left"):
        file_system(place.machine, Recipe("bookworm", "amd64"))
    assert list(place.machine.cache_dir.iterdir()) == []


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may make a mount namespace here")
def test_mounts_of_a_file_system_in_the_making_are_seen_by_nobody_else(place: Place) -> None:
    mmdebstrap(place, 'for each; do case "$each" in *.tar) readlink /proc/self/ns/mnt > "$each";; esac; done')
    (place.folder / "bin" / "setpriv").unlink()
    for tool in ("setpriv", "unshare", "readlink"):
        (place.folder / "bin" / tool).symlink_to(shutil.which(tool) or tool)
    archive = file_system(place.machine, Recipe("bookworm", "amd64"))
    assert archive.read_text(encoding="utf-8").startswith("mnt:")
    assert archive.read_text(encoding="utf-8").strip() != str(Path("/proc/self/ns/mnt").readlink())


def test_what_a_killed_one_left_and_what_is_outdated_goes_with_the_next(place: Place) -> None:
    mmdebstrap(place)
    place.write("cache/.building-old/half.tar", "")
    place.write("cache/sample-base-0123456789abcdef.tar", "")
    archive = file_system(place.machine, Recipe("bookworm", "amd64"))
    assert list(place.machine.cache_dir.iterdir()) == [archive]


def test_certificates_of_the_machine_are_copied_in_and_change_the_recipe(place: Place) -> None:
    mmdebstrap(place)
    digests = {recipe_here(place.machine).digest}
    assert recipe_here(place.machine).hooks == ()
    certificate = place.write("usr/local/share/ca-certificates/of us.crt", "one")
    digests.add(recipe_here(place.machine).digest)
    certificate.write_text("two", encoding="utf-8")
    changed = recipe_here(place.machine)
    assert len(digests | {changed.digest}) == 3
    assert changed.hooks[0] == f"--customize-hook=copy-in '{certificate}' /usr/local/share/ca-certificates"
