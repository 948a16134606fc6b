"""IM 2.0.0 rows: one conversation with everything known about where it comes from.

Four keys: `version`, `meta_info`, `tools`, `messages`. Facts of our own lie in `meta_info.unique_info`.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import orjson

from trajgen_assets.core.rollout.trials import TrialEntry, TrialsFile
from trajgen_assets.core.sft.messages import Json, normalise_all, normalise_tools
from trajgen_assets.core.sft.scaffolds import Conversation
from trajgen_assets.core.sft.weights import weigh

VERSION = "2.0.0"
QUERY_SOURCE = "synthesized"
OWNER = "00000000"
CATEGORY = "code"

_CJK = re.compile("[\u3400-\u9fff]")


@dataclass(frozen=True)
class Origin:
    """Where a row comes from: its job, its trial, the digest of the trajectory, its place among the conversations."""

    job: TrialsFile
    trial: TrialEntry
    trajectory_sha256: str
    ordinal: int


def im_row(conversation: Conversation, origin: Origin, *, mask_error_turns: bool = False) -> Json:
    """Return one IM row; turns that a tool refused to run count in the loss unless they are to be masked."""
    messages = weigh(normalise_all(conversation.messages), mask_error_turns=mask_error_turns)
    day = _answered_on(conversation, origin.trial)
    return {
        "version": VERSION,
        "meta_info": {
            "teacher": conversation.model or origin.job.model,
            "query_source": QUERY_SOURCE,
            "response_generate_time": day,
            "response_update_time": day,
            "owner": OWNER,
            "language": language_of(messages),
            "category": CATEGORY,
            "rounds": len(assistant_turns(messages)),
            "unique_info": _unique_facts(conversation, origin, think_mode(messages)),
        },
        "tools": normalise_tools(conversation.tools),
        "messages": messages,
    }


def with_facts(row: Json, facts: Json) -> Json:
    """Return an IM row with `facts` added to its `unique_info`."""
    meta = row["meta_info"]
    return row | {"meta_info": meta | {"unique_info": meta["unique_info"] | facts}}


def read_im(path: Path) -> Iterator[Json]:
    """Yield the rows of an IM file, one at a time."""
    with path.open("rb") as file:
        for line in file:
            yield orjson.loads(line)


def assistant_turns(messages: list[Json]) -> list[Json]:
    """Return the model's turns."""
    return [message for message in messages if message["role"] == "assistant"]


def think_mode(messages: list[Json]) -> str:
    """Return `slow` when any turn shows its reasoning, else `fast`."""
    return "slow" if any(turn["reasoning_content"] for turn in assistant_turns(messages)) else "fast"


def language_of(messages: list[Json]) -> str:
    """Return `zh` when the first user message that is not blank has a Chinese character, else `en`."""
    texts = (message["content"] for message in messages if message["role"] == "user" and message["content"].strip())
    return "zh" if _CJK.search(next(texts, "")) else "en"


def _unique_facts(conversation: Conversation, origin: Origin, mode: str) -> Json:
    trial = origin.trial
    return {
        "_instance_id": trial.task_id,
        "_agent_type": conversation.agent_type,
        "_score": None,
        "_gen_params": conversation.gen_params,
        "_usage": conversation.usage,
        "_instance_metadata": trial.task.metadata,
        "think_mode": mode,
        "reward": trial.reward,
        "job": origin.job.job,
        "trial": trial.trial_name,
        "conversation": origin.ordinal,
        "scaffold": origin.job.scaffold,
        "model": origin.job.model,
        "capture": trial.capture,
        "task_digest": trial.task.digest,
        "trajectory_sha256": origin.trajectory_sha256,
        "n_unmatched_reasoning": conversation.n_unmatched_reasoning,
        "n_rewritten_turns": conversation.n_rewritten_turns,
        "n_joined_user_messages": conversation.n_joined_user_messages,
        "n_shared_messages": conversation.n_shared_messages,
    }


def _answered_on(conversation: Conversation, trial: TrialEntry) -> str:
    """Return a day that the inputs give, so that the same inputs give the same row on any day."""
    moment = trial.finished_at or trial.started_at
    return moment.date().isoformat() if moment else conversation.answered_on or ""
