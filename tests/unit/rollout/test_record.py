"""What is recorded of a trial may be stored anywhere: it holds no known secret, not even the half of one."""

import pytest

from tests.unit.ledger.twins import DATASET, key, register, start
from trajgen_assets.core.intake.task import inspect_task
from trajgen_assets.core.ledger import Ledger
from trajgen_assets.core.ledger.models import AttemptKind, AttemptOutcome, RetryPolicy
from trajgen_assets.core.paths import PROJECT, Root
from trajgen_assets.core.redact import Redactor
from trajgen_assets.core.rollout.causes import Cause, kind_of
from trajgen_assets.core.rollout.record import NOTE_LENGTH, JobRecord, SilentListener, StagedTask
from trajgen_assets.core.rollout.trials import AgentRecord, TrialEntry, TrialsFile

SECRET = "sk-of-a-package-index-4711"
TASK = PROJECT / "examples" / "swe_tasks" / "py-cc" / "fernhollow__stanzaconf-87"


class Told(SilentListener):
    """Remembers the entries that it is told of."""

    def __init__(self) -> None:
        self.entries: list[TrialEntry] = []

    def trial_ended(self, entry: TrialEntry) -> None:
        self.entries.append(entry)


@pytest.fixture
def record(root: Root, ledger: Ledger) -> JobRecord:
    register(ledger, "t")
    header = TrialsFile(
        job="j", dataset=DATASET, campaign="main", scaffold="terminus2", agent=AgentRecord(name="a"), model="openai/m"
    )
    return JobRecord(
        header,
        root.job("j"),
        ledger,
        start(ledger, "j"),
        RetryPolicy(),
        {"t": StagedTask(key("t"), inspect_task(TASK), "digest")},
        Told(),
        Redactor({"INDEX_TOKEN": SECRET}),
    )


def test_what_a_trial_that_never_ended_kept_of_its_folder_is_removed_with_its_job(record: JobRecord) -> None:
    (record.files.patch_taken("t__1") / "store.git").mkdir(parents=True)
    assert record.settle_rest()
    assert not record.files.patches.exists()


@pytest.mark.parametrize("n_before", [0, NOTE_LENGTH - 5])
def test_a_note_that_quotes_a_secret_is_stored_without_it(record: JobRecord, n_before: int) -> None:
    note = f"{'x' * n_before}could not log in with {SECRET}"
    outcome = AttemptOutcome("t__1", AttemptKind.OUTSIDE, "sandbox", note=note)
    record._record(record.tasks["t"], outcome, accepted=False)

    (attempt,) = record.ledger.attempts(record.tasks["t"].key)
    assert isinstance(record.listener, Told)
    stored = [attempt.note, record.listener.entries[0].note, record.files.trials.read_text()]
    assert all(text and SECRET[:8] not in text for text in stored)
    assert len(attempt.note or "") <= NOTE_LENGTH
    assert n_before or "<redacted:INDEX_TOKEN>" in (attempt.note or "")


@pytest.mark.parametrize(("cause", "status"), [(Cause.UNGRADED, "failed"), (Cause.AGENT_BUDGET, "pending")])
def test_a_task_that_nobody_was_to_grade_is_not_paid_for_again(record: JobRecord, cause: Cause, status: str) -> None:
    record.policy = RetryPolicy(max_retries=2)
    outcome = AttemptOutcome("t__1", kind_of(cause), cause, note="no evaluator is set")
    record._record(record.tasks["t"], outcome, accepted=False)
    assert record.ledger.task(record.tasks["t"].key).status == status
