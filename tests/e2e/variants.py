"""Every way in which a trial can end, as one change to a bundled task that the scripted model solves."""

import re
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.e2e.conftest import SOLVED, TASKS
from trajgen_assets.core.ledger.models import AttemptKind, TaskStatus
from trajgen_assets.core.rollout.causes import Cause
from trajgen_assets.core.scripted.faults import Fault, FaultPlan, FaultSwitch

BASE = TASKS / SOLVED[0]
SHORT_AGENT = {r"(\[agent\]\ntimeout_sec = )\S+": r"\g<1>8.0"}
SHORT_VERIFIER = {r"(\[verifier\]\ntimeout_sec = )\S+": r"\g<1>3.0"}

# The agent's terminal takes no key, though everything else about it works.
DEAF_TMUX = """\
#!/bin/sh
case $* in *send-keys*) echo "no server running" >&2; exit 7 ;; esac
exec /usr/bin/tmux "$@"
"""
DEAF_DOCKERFILE = "COPY --chmod=755 tmux /opt/deaf/tmux\nENV PATH=/opt/deaf:$PATH\n"


@dataclass(frozen=True)
class Variant:
    """One ending: what is changed, and what must be known of it afterwards.

    Attributes:
        test_sh: the whole test.sh, if it is another.
        dockerfile: lines at the end of the Dockerfile.
        edits: replacements in task.toml, by regular expression.
        fault: what the model does when it is asked about this task, from the first call on.
        fault_phrase: what the agent must have said before that; nothing else may say it.
        image: the image that the task starts from, if it is another.
        exception: what Harbor records, in `local`.
        in_docker: what it records in `docker`, if that is something else.
        only_docker: the local sandbox has nothing like it.
        harbor_reward: what Harbor takes for a reward, although no model was ever heard.
    """

    name: str
    exception: str | None = None
    cause: Cause | None = None
    reward: float | None = None
    test_sh: str | None = None
    dockerfile: str = ""
    files: Mapping[str, str] = field(default_factory=dict)
    edits: Mapping[str, str] = field(default_factory=dict)
    fault: Fault = Fault.NONE
    fault_phrase: str = ""
    image: str | None = None
    in_docker: str | None = None
    only_docker: bool = False
    harbor_reward: float | None = None

    @property
    def phrase(self) -> str:
        """What only this task's instruction says."""
        return f"This is the variant {self.name}."

    @property
    def in_harbor(self) -> tuple[Cause | None, float | None]:
        """Cause and reward as Harbor's result alone has them."""
        return (None, self.harbor_reward) if self.harbor_reward is not None else (self.cause, self.reward)

    @property
    def is_accepted(self) -> bool:
        return self.cause is None

    @property
    def status(self) -> TaskStatus:
        """Where the task stands after its first attempt."""
        return TaskStatus.DONE if self.is_accepted else TaskStatus.PENDING

    @property
    def kind(self) -> AttemptKind:
        if self.is_accepted:
            return AttemptKind.GRADED
        return AttemptKind.CAPTURE if self.cause is Cause.CAPTURE else AttemptKind.OUTSIDE

    def exception_in(self, environment: str) -> str | None:
        """The type of the exception that Harbor records in `environment`."""
        return self.in_docker if environment == "docker" and self.in_docker else self.exception

    def write(self, folder: Path) -> None:
        """Make the task as `folder`/<name>."""
        task = folder / self.name
        shutil.copytree(BASE, task)
        dockerfile = task / "environment" / "Dockerfile"
        text = dockerfile.read_text()
        if self.image:
            text = re.sub(r"^FROM \S+", f"FROM {self.image}", text)
        dockerfile.write_text(f"{text}\n{self.dockerfile}")
        (task / "instruction.md").write_text(f"{(task / 'instruction.md').read_text()}\n{self.phrase}\n")
        if self.test_sh is not None:
            (task / "tests" / "test.sh").write_text(f"#!/bin/bash\n{self.test_sh}\n")
        for name, content in self.files.items():
            (task / name).write_text(content)
        settings = (task / "task.toml").read_text()
        for pattern, replacement in self.edits.items():
            settings, n_replaced = re.subn(pattern, replacement, settings)
            assert n_replaced == 1
        (task / "task.toml").write_text(settings)


# No more than four endings of one outside cause in a row: the fifth would stop the job.
VARIANTS = (
    Variant("solved", reward=1.0),
    Variant("no-reward-file", "RewardFileNotFoundError", Cause.VERIFIER, test_sh="exit 3"),
    Variant("empty-reward-file", "RewardFileEmptyError", Cause.VERIFIER, test_sh=": > /logs/verifier/reward.txt"),
    Variant(
        "failed-build",
        "SandboxBuildFailedError",
        Cause.SANDBOX,
        dockerfile="RUN echo no more space; exit 9\n",
        in_docker="RuntimeError",
    ),
    Variant(
        "malformed-reward-file",
        "VerifierOutputParseError",
        Cause.VERIFIER,
        test_sh="echo passed > /logs/verifier/reward.txt",
    ),
    Variant(
        "malformed-reward-json",
        "VerifierOutputParseError",
        Cause.VERIFIER,
        test_sh="""echo '{"reward": "1.0"}' > /logs/verifier/reward.json""",
    ),
    Variant("two-rewards", reward=0.5, test_sh="""echo '{"reward": 0.5, "style": 1}' > /logs/verifier/reward.json"""),
    Variant(
        "out-of-time-in-the-verifier", "VerifierTimeoutError", Cause.VERIFIER, test_sh="sleep 60", edits=SHORT_VERIFIER
    ),
    Variant("failing-tests-and-a-reward", reward=1.0, test_sh="echo 1 > /logs/verifier/reward.txt; exit 1"),
    Variant(
        "unknown-image",
        "RuntimeError",
        Cause.SANDBOX,
        image="localhost:9/no-such-image:1",
        only_docker=True,
    ),
    Variant(
        "out-of-time-after-an-answer",
        "AgentTimeoutError",
        reward=0.0,
        files={"environment/src/last_words.py": ""},
        fault=Fault.HANG,
        fault_phrase="last_words.py",  # the first command lists it
        edits=SHORT_AGENT,
    ),
    Variant("refused-by-the-model", "AuthenticationError", Cause.MODEL_PROVIDER, fault=Fault.UNAUTHORIZED),
    Variant(
        "broken-agent",
        "RuntimeError",
        Cause.UNCLASSIFIED,
        dockerfile=DEAF_DOCKERFILE,
        files={"environment/tmux": DEAF_TMUX},
    ),
    Variant(
        "out-of-time-without-a-word",
        "AgentTimeoutError",
        Cause.MODEL_PROVIDER,
        harbor_reward=0.0,
        fault=Fault.HANG,
        edits=SHORT_AGENT,
    ),
)


def variants_in(environment: str) -> tuple[Variant, ...]:
    """Those that can happen in `environment`."""
    return tuple(variant for variant in VARIANTS if environment == "docker" or not variant.only_docker)


class FaultOfEachTask(FaultSwitch):
    """The scripted model fails each task in its own way, and all at once."""

    def __init__(self, variants: Sequence[Variant]) -> None:
        super().__init__()
        self._switches = [FaultSwitch() for _ in variants]
        for switch, variant in zip(self._switches, variants, strict=True):
            switch.set(FaultPlan(fault=variant.fault, match=variant.fault_phrase or variant.phrase))

    def take(self, text: str) -> FaultPlan:
        plans = [switch.take(text) for switch in self._switches]
        return next((plan for plan in plans if plan.fault is not Fault.NONE), FaultPlan(fault=Fault.NONE))
