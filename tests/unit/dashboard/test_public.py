import json
import shutil
import stat
from collections.abc import Iterator
from pathlib import Path
from threading import Event

import pytest
from markupsafe import escape

from tests.sites import RootSize, make_root
from trajgen_assets.core.atomic import write_json
from trajgen_assets.core.dashboard.public import Public
from trajgen_assets.core.dashboard.publishing import Target, publish, publish_again
from trajgen_assets.core.dashboard.render import SiteFile, data_file
from trajgen_assets.core.dashboard.site import build_site
from trajgen_assets.core.errors import BusyError, DashboardError
from trajgen_assets.core.locks import locked
from trajgen_assets.core.paths import Root
from trajgen_assets.core.redact import Redactor

SECRET = "upstream-key-4711"
KEYS = {
    "API key": "sk-proj-" + "a1B2" * 8,
    "AWS key": "AKIA" + "ABCD2345" * 2,
    "GitHub token": "ghp_" + "a1B2" * 9,
    "private key": "-----BEGIN RSA PRIVATE KEY-----\nMIIE\n-----END",
}


@pytest.fixture
def root(tmp_path: Path) -> Root:
    return make_root(tmp_path / "home-of-somebody" / "root", RootSize(n_trials=8, n_per_job=8, n_turns=2))


@pytest.fixture
def public(root: Root) -> Public:
    return Public.of(root, Redactor({"LLM_API_KEY": SECRET}))


def everything_in(folder: Path) -> Iterator[tuple[Path, str]]:
    for path in folder.rglob("*"):
        if path.is_file():
            yield path, path.read_text(encoding="utf-8")


def say_in_a_trial(root: Root, text: str) -> None:
    """Let a verifier have printed it, and the note of a run too."""
    trial = next(iter(root.jobs.glob("*/*/verifier/test-stdout.txt")))
    trial.write_text(text)
    root.index.write_text(root.index.read_text().replace("archive:", f"notes: {json.dumps(text)}\n  archive:", 1))


def test_a_public_site_holds_no_path_of_the_host_no_secret_and_nothing_like_a_key(
    root: Root, public: Public, tmp_path: Path
) -> None:
    write_json(next(root.jobs.iterdir()) / "host.json", {"schema_version": 1, "host": ["somebodys-laptop"]})
    told = [str(root.path / "tasks"), f"{Path.home()}/.ssh", "somebodys-laptop", SECRET, *KEYS.values()]
    say_in_a_trial(root, " | ".join(told))
    private, shared = tmp_path / "private", tmp_path / "shared"
    build_site(root, private)
    assert SECRET in "".join(text for _, text in everything_in(private))
    cleaned = Public.of(root, public.redactor)
    build_site(root, shared, cleaned)
    for path, text in everything_in(shared):
        for said in (str(root.path), "somebodys-laptop", SECRET, *(key.split("\n")[0] for key in KEYS.values())):
            assert said not in text, path
    assert {"redacted:LLM_API_KEY", "path:root", "host", *(f"redacted:{kind}" for kind in KEYS)} <= set(cleaned.taken)


def test_what_is_put_in_its_place_is_text_and_no_element(root: Root, public: Public) -> None:
    page = public.clean(SiteFile("x.html", f"<b>{root.path}/jobs</b> {SECRET}".encode())).data.decode()
    assert page == "<b>&lt;path:root&gt;/jobs</b> &lt;redacted:LLM_API_KEY&gt;"
    data = public.clean(SiteFile("data/x.js", f'trajgen.take("x", ["{root.path}"]);'.encode())).data.decode()
    assert json.loads(data[len('trajgen.take("x", ') : -2]) == ["<path:root>"]


@pytest.mark.parametrize(
    "secret", ["p&ss-w0rd-4711", "quote'd-key-4711", 'dq"<key>-4711', "jos\u00e9-4711", "back\\key-4711"]
)
def test_what_a_page_or_its_data_spells_otherwise_is_found_too(tmp_path: Path, secret: str) -> None:
    root = Root(tmp_path / "jos\u00e9 & o'neil" / "root")
    said = f"{secret} {root.path}/jobs"
    cleaned = Public.of(root, Redactor({"LLM_API_KEY": secret}))
    page = cleaned.clean(SiteFile("x.html", f"<p>{escape(said)} {escape(json.dumps(said))}".encode())).data.decode()
    data = cleaned.clean(data_file("x", [said, json.dumps(said)])).data.decode()
    assert page == "<p>{0} &#34;{0}&#34;".format("&lt;redacted:LLM_API_KEY&gt; &lt;path:root&gt;/jobs")
    assert json.loads(data[len('trajgen.take("x", ') : -3]) == [
        "<redacted:LLM_API_KEY> <path:root>/jobs",
        '"<redacted:LLM_API_KEY> <path:root>/jobs"',
    ]


def test_our_own_scripts_are_as_they_are(public: Public) -> None:
    assert public.clean(SiteFile("static/site.js", SECRET.encode())).data == SECRET.encode()


def test_previews_are_short_and_no_record_is_there(root: Root, public: Public, tmp_path: Path) -> None:
    build_site(root, tmp_path / "private")
    build_site(root, tmp_path / "shared", public)
    assert any(path.name.endswith("raw-0.js") for path, _ in everything_in(tmp_path / "private"))
    assert not any("~raw-" in path.name or "~texts-" in path.name for path, _ in everything_in(tmp_path / "shared"))


@pytest.mark.parametrize(
    ("text", "program"),
    [
        ("me@host.example:/srv/www", "rsync"),
        ("rsync://host.example/www", "rsync"),
        ("s3://bucket/site", "aws"),
        ("gs://bucket/site", "gcloud"),
        ("rclone:store:site", "rclone"),
        ("cmd:publisher --from {site}", "publisher"),
    ],
)
def test_a_target_says_by_what_it_is_reached(text: str, program: str) -> None:
    target = Target.of(text)
    assert target.argv[0] == program
    assert any("{site}" in part for part in target.argv)


def test_anything_else_is_a_folder(tmp_path: Path) -> None:
    assert Target.of(str(tmp_path / "a:b")).folder == tmp_path / "a:b"
    for nonsense in ("", " ", "cmd:true", "cmd:{site}"):
        with pytest.raises(DashboardError, match="cmd:PROGRAM"):
            Target.of(nonsense)


def test_it_is_sent_when_it_is_new_and_again_where_sending_failed(root: Root, public: Public, tmp_path: Path) -> None:
    sent, sender = tmp_path / "sent", tmp_path / "sender"
    fails = f"test ! -e {tmp_path}/broken || {{ echo no network >&2; exit 7; }}"
    lines = ("#!/bin/sh", f'echo "$1" >> {sent}', fails)
    sender.write_text("\n".join(lines))
    sender.chmod(stat.S_IRWXU)
    target = Target.of(f"cmd:{sender} {{site}}")
    (tmp_path / "broken").touch()
    with pytest.raises(DashboardError, match="no network"):
        publish(root, target, public)
    (tmp_path / "broken").unlink()
    for n_sent in (2, 2):  # once more after the failure, and then nothing is new
        publish(root, target, public)
        assert len(sent.read_text().splitlines()) == n_sent
    assert set(sent.read_text().splitlines()) == {str(root.dashboard / "public")}


def test_a_program_that_is_not_there_is_named(root: Root, public: Public) -> None:
    with pytest.raises(DashboardError, match=r"no-such-program.*install"):
        publish(root, Target.of("cmd:no-such-program {site}"), public)


def test_two_do_not_publish_one_root_at_once(root: Root, public: Public, tmp_path: Path) -> None:
    with locked(root.dashboard / ".publish.lock"), pytest.raises(BusyError):
        publish(root, Target.of(str(tmp_path / "www")), public)


def test_publishing_goes_on_after_a_failure(root: Root, public: Public, tmp_path: Path) -> None:
    folder, over, said = tmp_path / "www", Event(), list[str]()
    folder.mkdir()
    (folder / "thesis.txt").write_text("mine")

    def say(text: str) -> None:
        said.append(text)
        shutil.rmtree(folder, ignore_errors=True)
        if len(said) == 3:
            over.set()

    publish_again(root, Target.of(str(folder)), lambda: public, 0.01, say, over)
    assert "not published: the folder holds something else" in said[0]
    assert "files written" in said[1]
