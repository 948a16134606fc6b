"""The columns of what assets consist of, as the catalogue shows them. `docs/data-contracts.md` says more of each."""

from collections.abc import Mapping

import dagster as dg


def _columns(rows: Mapping[str, tuple[str, str]]) -> list[dg.TableColumn]:
    return [dg.TableColumn(name, kind, description) for name, (kind, description) in rows.items()]


MANIFEST = _columns({"task_id": ("text", "Name of a folder beside the manifest, one a line.")})

# A line of litellm-trajectory.jsonl.
RECORD = _columns({
    "schema_version": ("integer", "1"),
    "call_id": ("text", "The model call, as admitted; a retried call has several lines."),
    "attempt": ("integer", "1, plus the retries inside the proxy before it."),
    "dialect": ("text", "The API that the agent spoke."),
    "upstream": ("text?", "The endpoint that was asked; null where the proxy itself refused."),
    "trajectory_route": ("text", "Job and trial."),
    "session_id": ("text", "The instance that the agent named, else the trial."),
    "client_session_id": ("text?", "The session that the agent named; of a subagent with its own name behind it."),
    "success": ("boolean", "Whether the agent got a whole reply."),
    "client_disconnected": ("boolean", "Whether the agent closed the connection first."),
    "request_time": ("integer", "Epoch milliseconds of the start."),
    "timestamp": ("time", "The same moment, in ISO 8601."),
    "duration_ms": ("integer", "Until the end of the reply, retries included."),
    "ttft_ms": ("integer?", "Until the first token; null where the reply was not streamed."),
    "request_sha256": ("text", "Equal for equal requests."),
    "usage": ("object", "Tokens and cost in US dollars, as counted by the endpoint."),
    "request_body": ("object", "What was sent, in the form of OpenAI's chat completions."),
    "response_body": ("object", "What came, put together if it was streamed; empty if nothing came."),
    "failure": ("object?", "Why it failed; left out of a success."),
})  # fmt: skip

# An entry of trials.json.
TRIALS = _columns({
    "task_id": ("text", "Full id of the task."),
    "task_key": ("text", "Its partition."),
    "trial_name": ("text?", "The harness's name of the trial, and its folder; null before it began."),
    "attempt": ("integer", "Ordinal over all jobs, from 1."),
    "accepted": ("boolean", "Whether it counts: done, with a reward and a complete record."),
    "status": ("text", "Where it left its task: done, failed, pending."),
    "cause": ("text?", "What took a result from it; null if it is accepted."),
    "note": ("text?", "One line for people."),
    "reward": ("number?", "The verifier's; null if it does not measure the agent."),
    "capture": ("text?", "Whether the record holds every model call: complete, cut, gap."),
    "trajectory": ("path?", "Its record, below the job's folder."),
    "trajectory_sha256": ("text?", "Digest of the record's plain content."),
    "task": ("object", "The task as it was: digest, instruction, metadata, fix."),
    "n_input_tokens": ("integer?", "Tokens of prompts, cached ones included."),
    "n_output_tokens": ("integer?", "Tokens of replies, reasoning included."),
    "n_cache_tokens": ("integer?", "Those of the input that the endpoint had cached."),
    "cost_usd": ("number?", "US dollars; null where no price is known."),
    "started_at": ("time?", "When the trial began."),
    "finished_at": ("time?", "When it ended."),
    "duration_s": ("number?", "Seconds between the two."),
})  # fmt: skip

IM = _columns({
    "version": ("text", "Of the format: 2.0.0."),
    "meta_info": ("object", "Model, day, language, rounds; in `unique_info` where the row comes from, and its score."),
    "tools": ("list", "The tools that the model could call, as JSON Schema."),
    "messages": ("list", "The conversation as OpenAI messages, thoughts in `reasoning_content`."),
})  # fmt: skip

LF = _columns({
    "conversations": ("list", "Turns of `from` and `value`, even in number, the model's last."),
    "system": ("text", "The system prompt; empty if there is none."),
    "tools": ("text", "The tools as JSON text; empty if there are none."),
    "_instance_id": ("text", "The task."),
    "_score": ("text?", "The row's score and the grounds of each part, as JSON text; null if it was not scored."),
    "_agent_type": ("text?", "Which agent of the scaffold speaks in the row."),
    "_gen_params": ("text?", "The sampling parameters of its calls, as JSON text."),
    "_usage": ("text?", "Tokens of its last call, as JSON text."),
    "_instance_metadata": ("text?", "`[metadata]` of the task, as JSON text."),
})  # fmt: skip
