"""The agent's own count of replies: taken where it is understood, and trusted no further than to speak against it."""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from trajgen_assets.core.capture.agent_count import AgentCount, count_replies


@pytest.fixture
def agent(tmp_path: Path) -> Path:
    folder = tmp_path / "agent"
    folder.mkdir()
    return folder


@pytest.fixture
def folder_fd(agent: Path) -> Iterator[int]:
    fd = os.open(agent, os.O_RDONLY | os.O_DIRECTORY)
    yield fd
    os.close(fd)


def write(path: Path, value: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value))


def step(source: str, **more: Any) -> dict[str, Any]:
    return {"step_id": 1, "source": source, "message": "x"} | more


def atif(name: str, *steps: Any) -> dict[str, Any]:
    return {"schema_version": "ATIF-v1.8", "agent": {"name": name, "version": "2.0.0"}, "steps": list(steps)}


def said(kind: str, reply: str | None = None, **message: Any) -> str:
    return json.dumps({"type": kind, "message": {"id": reply, "role": kind, **message}}) + "\n"


def test_terminus_counts_its_steps_but_not_those_that_it_copied(agent: Path, folder_fd: int) -> None:
    metrics = {"prompt_tokens": 1}
    steps = [step("user"), step("agent", metrics=metrics), step("system"), step("agent", metrics=metrics)]
    steps += [step("agent", metrics=metrics, is_copied_context=True), step("agent")]
    write(agent / "trajectory.json", atif("terminus-2", *steps))
    assert count_replies(folder_fd) == AgentCount(source="trajectory.json", n_replies=2)


def test_what_harbor_makes_up_for_other_agents_is_no_count_of_theirs(agent: Path, folder_fd: int) -> None:
    write(agent / "trajectory.json", atif("claude-code", step("agent", metrics={})))
    assert count_replies(folder_fd) is None


def test_mini_swe_agent_counts_its_messages(agent: Path, folder_fd: int) -> None:
    messages = [{"role": role} for role in ("system", "user", "assistant", "tool", "assistant", "exit")]
    write(agent / "mini-swe-agent.trajectory.json", {"info": {"model_stats": {"api_calls": 9}}, "messages": messages})
    write(agent / "trajectory.json", atif("mini-swe-agent"))
    assert count_replies(folder_fd) == AgentCount(source="mini-swe-agent.trajectory.json", n_replies=2)


def test_claude_code_counts_a_reply_once_however_many_blocks_it_has(agent: Path, folder_fd: int) -> None:
    main = said("user") + said("assistant", "msg_1") * 3 + said("assistant", "msg_2")
    main += said("assistant", "made-up", model="<synthetic>") + '"text"\n{half a line'
    session = agent / "sessions" / "projects" / "-app" / "s1.jsonl"
    session.parent.mkdir(parents=True)
    session.write_text(main)
    (session.parent / "s1" / "subagents").mkdir(parents=True)
    (session.parent / "s1" / "subagents" / "agent-1.jsonl").write_text(said("assistant", "msg_3"))
    (session.parent / "notes.txt").write_text(said("assistant", "msg_4"))
    assert count_replies(folder_fd) == AgentCount(source="sessions/projects/*/*.jsonl", n_replies=3)


def test_an_agent_that_left_nothing_has_no_count(folder_fd: int) -> None:
    assert count_replies(folder_fd) is None


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", "7", '{"steps": 1}', '{"agent": "terminus-2", "steps": []}', '{"agent": {"name": 1}}', "[" * 5000],
)
@pytest.mark.parametrize("name", ["trajectory.json", "mini-swe-agent.trajectory.json"])
def test_what_is_not_understood_counts_for_nothing(agent: Path, folder_fd: int, name: str, text: str) -> None:
    (agent / name).write_text(text)
    assert count_replies(folder_fd) is None


def test_odd_steps_are_no_replies(agent: Path, folder_fd: int) -> None:
    write(agent / "trajectory.json", atif("terminus-2", None, 1, [], "x", {"source": ["agent"]}))
    assert count_replies(folder_fd) == AgentCount(source="trajectory.json", n_replies=0)


def test_no_link_is_followed_and_no_pipe_waited_for(agent: Path, folder_fd: int, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    write(outside / "trajectory.json", atif("terminus-2", step("agent", metrics={})))
    (outside / "projects" / "-app").mkdir(parents=True)
    (outside / "projects" / "-app" / "s.jsonl").write_text(said("assistant", "msg_1"))
    (agent / "trajectory.json").symlink_to(outside / "trajectory.json")
    (agent / "sessions").symlink_to(outside)
    os.mkfifo(agent / "mini-swe-agent.trajectory.json")
    assert count_replies(folder_fd) is None


def test_links_among_session_files_are_not_followed(agent: Path, folder_fd: int, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "s.jsonl").write_text(said("assistant", "msg_1"))
    projects = agent / "sessions" / "projects"
    projects.mkdir(parents=True)
    (projects / "linked").symlink_to(outside)
    (projects / "linked.jsonl").symlink_to(outside / "s.jsonl")
    found = count_replies(folder_fd)
    assert found is None or found.n_replies == 0


def test_a_file_too_large_to_be_parsed_is_left_alone(agent: Path, folder_fd: int) -> None:
    with (agent / "trajectory.json").open("wb") as file:
        file.write(json.dumps(atif("terminus-2", step("agent", metrics={}))).encode())
        file.truncate(1 << 30)
    assert count_replies(folder_fd) is None
