"""config.yaml as a whole, and the questions that the rest of the program asks it."""

import os
import re
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, PrivateAttr, ValidationInfo, field_validator
from pydantic_core import PydanticCustomError

from trajgen_assets.core.config.inputs import MOUNT_KNOBS, Agent, CampaignChoice
from trajgen_assets.core.config.llm_api import LlmApi
from trajgen_assets.core.config.models import Evolving, ExtraEnvironment, MetaInfo, RuntimeInfo, Status
from trajgen_assets.core.config.scaffolds import Harness
from trajgen_assets.core.config.secrets import Secret, reference_name
from trajgen_assets.core.config.secrets_file import SecretsFile
from trajgen_assets.core.config.section import Notice, Section, absolute, given_values, is_literal_secret, refuse_unless
from trajgen_assets.core.errors import ConfigError
from trajgen_assets.core.intake.remote.remote import Remote
from trajgen_assets.core.intake.source import TaskSource, data_sets_of
from trajgen_assets.core.keys import MAIN_CAMPAIGN, SMOKE_CAMPAIGN
from trajgen_assets.core.redact import Redactor

EXCLUDE_NAME = "HARBOR_EXCLUDE_TASKS"

_URL_LOGIN = re.compile(r"(?<=://)[^/@\s]+(?=@)")


@dataclass(frozen=True)
class Campaign:
    """A scaffold and a model with all their parameters, under which each task is consumed once."""

    name: str
    llm_api: LlmApi
    agent: Agent


class Config(Section):
    """A valid config.yaml. Relative paths in it are meant from the folder it lies in."""

    runtime_info: RuntimeInfo
    meta_info: Annotated[MetaInfo, Field(validate_default=True)] = MetaInfo()
    environment: ExtraEnvironment = ExtraEnvironment()
    status: Status = Status()
    evolving: Evolving = Evolving()
    producer_block: Annotated[Any, Notice("is not used")] = None
    output_format: Annotated[Any, Notice("is not used: see runtime_info.output")] = None
    job_dir: Annotated[Any, Notice("is not used: a job's folder has the job's name")] = None
    command_override: Annotated[
        str | None, refuse_unless(lambda text: text is None, "is not run here: remove it, the command is generated")
    ] = None

    @field_validator("meta_info")
    @classmethod
    def _pins_what_rolls_out(cls, meta_info: MetaInfo, info: ValidationInfo) -> MetaInfo:
        runtime_info: RuntimeInfo | None = info.data.get("runtime_info")
        harness = runtime_info.input.rollout.harness if runtime_info else None
        if harness is Harness.OPENHANDS and harness not in meta_info.repositories:
            text = "repositories.openhands is missing: OpenHands is run from a pinned checkout, by url and commit"
            raise PydanticCustomError("refused", "{text}", {"text": text})
        return meta_info

    _path: Path = PrivateAttr(default_factory=lambda: Path("config.yaml").absolute())
    _secrets_file: SecretsFile = PrivateAttr(default_factory=lambda: SecretsFile(Path("secrets.env").absolute()))

    def model_post_init(self, context: Any) -> None:
        """Remember where the file lies, and what `secrets.env` beside it holds."""
        if context:
            self._path = context["path"]
            self._secrets_file = context["secrets"]

    @property
    def path(self) -> Path:
        """The file itself, absolute."""
        return self._path

    def resolve(self, text: str) -> Path:
        """Read a path of this file: `~` expanded, relative to the file's folder, absolute."""
        return absolute(self._path.parent, text)

    def sources(self) -> list[TaskSource]:
        """The folders of tasks, in the order of the file, each under a data set name of its own.

        Raises:
            ConfigError: two of them have one name.
        """
        choices = [choice.locate(self._path.parent) for choice in self.runtime_info.input.all_sources()]
        found = [each for source in choices for each in data_sets_of(source)]
        for name, count in Counter(each.dataset.lower() for each in found).items():
            if count > 1:
                mend = "give one of them another name with task_sources[].dataset"
                raise ConfigError(f"{count} data sets are named {name}", where=self._path, mend=mend)
        return found

    def remotes(self) -> list[Remote]:
        """The task sources that have to be downloaded, in the order of the file."""
        choices = self.runtime_info.input.all_sources()
        return [choice.remote(self._path.parent) for choice in choices if choice.is_remote]

    @property
    def secrets_file(self) -> SecretsFile:
        """The file beside this one that holds what the environment does not."""
        return self._secrets_file

    def source(self, dataset: str) -> TaskSource:
        """The folder of tasks that is named `dataset`.

        Raises:
            ConfigError: the file names no such data set.
        """
        named = {source.dataset: source for source in self.sources()}
        if dataset not in named:
            raise ConfigError(
                f"no task source is named {dataset[:80]!r}",
                where=self._path,
                why=f"known: {', '.join(named)}",
                mend="add it under runtime_info.input.task_sources",
            )
        return named[dataset]

    def campaigns(self) -> list[str]:
        """The campaigns of this file: `main`, then the others in their order."""
        return list(dict.fromkeys([MAIN_CAMPAIGN, *self.runtime_info.input.campaigns]))

    def campaign(self, name: str = MAIN_CAMPAIGN) -> Campaign:
        """Complete one campaign from its own entry, then from `llm_api` and `agent`; `smoke` is `main` again.

        Raises:
            ConfigError: the file names no such campaign.
        """
        if name not in (*self.campaigns(), SMOKE_CAMPAIGN):
            raise ConfigError(
                f"there is no campaign {name[:80]!r}",
                where=self._path,
                why=f"known: {', '.join(self.campaigns())}",
                mend="add it under runtime_info.input.campaigns",
            )
        inputs = self.runtime_info.input
        entry = MAIN_CAMPAIGN if name == SMOKE_CAMPAIGN else name
        choice = inputs.campaigns.get(entry, CampaignChoice())
        return Campaign(name, _campaign_llm(inputs.llm_api, choice), _campaign_agent(inputs.agent, choice))

    def child_env(self) -> dict[str, str]:
        """`env_extra` over the older `environment.extra`, with the values of `${NAME}` filled in.

        Raises:
            ConfigError: neither the environment nor `secrets.env` sets one of them.
        """
        return {name: self._filled(text) for name, text in self._env_texts().items()}

    @property
    def jobs_folder(self) -> Path | None:
        """Where the file wants the folders of jobs; None for the root's own place."""
        text = self.runtime_info.input.harbor_job.jobs_dir or self.runtime_info.output.raw_trajectories_dir.path
        return self.resolve(text) if text else None

    @property
    def data_folder(self) -> Path | None:
        """Where the file wants the folders of training data; None for the root's own place."""
        text = self.runtime_info.input.sft_conversion.out_dir or self.runtime_info.output.sft_data_dir.path
        return self.resolve(text) if text else None

    def exclusion_texts(self) -> list[tuple[str, str]]:
        """Each `HARBOR_EXCLUDE_TASKS` that counts, with its place: both of the file, and that of our environment.

        Raises:
            ConfigError: one is `${NAME}`, and nothing sets it.
        """
        named = [(f"{place}.{EXCLUDE_NAME}", env.get(EXCLUDE_NAME, "")) for place, env in self._env_places()]
        texts = [(place, self._filled(text)) for place, text in named]
        own = (f"the environment's {EXCLUDE_NAME}", os.environ.get(EXCLUDE_NAME, ""))
        return [(place, text) for place, text in (*texts, own) if text.strip()]

    def warnings(self) -> list[str]:
        """What works but should not stay: each secret that stands in the file itself."""
        advice = "is a secret in clear: write ${NAME}, and set NAME in the environment or in secrets.env beside it"
        return [f"{path} {advice}" for path in self.literal_secrets()]

    def literal_secrets(self) -> dict[str, str]:
        """Dotted path and value of each secret that stands in the file itself."""
        return {path: secret.reveal() for path, secret in self._secrets() if secret.is_literal}

    def named_references(self) -> set[str]:
        """Each NAME of a `${NAME}` in the file."""
        names = {secret.env_name for _, secret in self._secrets() if secret.env_name}
        texts = (*self._env_texts().values(), self.runtime_info.input.litellm_proxy.host or "")
        return names | {source for text in texts if (source := reference_name(text))}

    def notices(self) -> list[str]:
        """What the file sets and nothing reads, or means otherwise here: one line a key, with what happens instead."""
        marked = (
            line
            for path, value, field in given_values(self)
            for note in field.metadata
            if isinstance(note, Notice)
            for line in note.lines(path, value, field.default)
        )
        return [*marked, *self._unused_settings()]

    def _unused_settings(self) -> Iterator[str]:
        """What is set for an agent that does not take it; a campaign may name another agent than the file's own."""
        inputs = self.runtime_info.input
        if inputs.openhands is not None and inputs.rollout.harness is not Harness.OPENHANDS:
            yield f"runtime_info.input.openhands is not used: rollout.harness is {inputs.rollout.harness}"
        given = [("agent", inputs.agent, inputs.agent.scaffold)]
        for name, choice in inputs.campaigns.items():
            if choice.agent is not None:
                given.append((f"campaigns.{name}.agent", choice.agent, self.campaign(name).agent.scaffold))
        for place, agent, scaffold in given:
            for knob in agent.unused_by(scaffold):
                yield f"runtime_info.input.{place}.{knob} is not used: {scaffold.agent} does not take it"
        if not any(self.campaign(name).agent.names_runtime for name in self.campaigns()):
            for name in sorted(inputs.runtime_mount.model_fields_set):
                yield f"runtime_info.input.runtime_mount.{name} is not used: no agent names a runtime"

    def named_environ(self) -> dict[str, str]:
        """The environment variables that are set and that a run needs: those named as `${NAME}`, and the exclusions."""
        names = {EXCLUDE_NAME, *self.named_references()}
        return {name: os.environ[name] for name in sorted(names) if name in os.environ}

    def secret_values(self) -> dict[str, str]:
        """Each secret that can be known now: its name or dotted path, and its value. All of `secrets.env` is secret."""
        known = {}
        for path, secret in self._secrets():
            try:
                known[secret.env_name or path] = secret.reveal()
            except ConfigError:  # not set: there is nothing that could leak
                continue
        in_file = {f"secrets.env:{name}": value for name, value in self._secrets_file.values.items()}
        return known | {name: value for name, value in in_file.items() if value not in known.values()}

    @property
    def proxy_host(self) -> str | None:
        """Where a person wants proxies that sandboxes reach by a public address to listen.

        Raises:
            ConfigError: it is `${NAME}`, and nothing sets it.
        """
        text = self.runtime_info.input.litellm_proxy.host
        return self._filled(text) if text else None

    def look_up(self, name: str) -> str:
        """The value of `${NAME}`: of the environment, else of `secrets.env`.

        Raises:
            ConfigError: neither sets it.
        """
        return self._secrets_file.read(name)

    def _filled(self, text: str) -> str:
        return self.look_up(source) if (source := reference_name(text)) else text

    def _env_texts(self) -> dict[str, str]:
        return {**self.environment.extra, **self.runtime_info.input.env_extra}

    def _env_places(self) -> tuple[tuple[str, dict[str, str]], ...]:
        return (
            ("environment.extra", self.environment.extra),
            ("runtime_info.input.env_extra", self.runtime_info.input.env_extra),
        )

    def _secrets(self) -> Iterator[tuple[str, Secret]]:
        for path, value, _ in given_values(self):
            if isinstance(value, Secret):
                yield path, value
        for place, env in self._env_places():
            for name, text in env.items():
                if reference_name(text) or is_literal_secret(name, text):
                    yield f"{place}.{name}", Secret(text, self._secrets_file.read)


def redacted(config: Config) -> dict[str, Any]:
    """Return `config` with every default filled in, as JSON and YAML can hold it, without any literal secret.

    `${NAME}` references stay; literal secrets and logins within addresses become `<redacted>`, and so does a secret's
    value wherever else it stands, in a description for example.
    """
    plain: dict[str, Any] = without_logins(config.model_dump(mode="json"))
    return {name: _each_text(value, Redactor(config.secret_values()).text) for name, value in plain.items()}


def without_logins(value: Any) -> Any:
    """The same value with `<redacted>` for each login within an address."""
    return _each_text(value, lambda text: _URL_LOGIN.sub("<redacted>", text))


def _each_text(value: Any, change: Callable[[str], str]) -> Any:
    if isinstance(value, dict):
        return {key: _each_text(each, change) for key, each in value.items()}
    if isinstance(value, list):
        return [_each_text(each, change) for each in value]
    return change(value) if isinstance(value, str) else value


def _campaign_llm(base: LlmApi, choice: CampaignChoice) -> LlmApi:
    if choice.llm_api is not None:
        return choice.llm_api
    if choice.model is None or choice.model == base.model:
        return base
    return base.named(choice.model)


def _campaign_agent(base: Agent, choice: CampaignChoice) -> Agent:
    if choice.agent is None:
        return base
    given = {name: getattr(choice.agent, name) for name in choice.agent.model_fields_set}
    another = "name" in given and choice.agent.scaffold != base.scaffold
    own = dict.fromkeys(("version", *MOUNT_KNOBS)) if another else {}  # they belong to the other scaffold
    return base.model_copy(update={**own, **given})
