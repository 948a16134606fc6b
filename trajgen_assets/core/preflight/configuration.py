"""What stands in the configuration, and what of it is not acted on."""

from collections.abc import Iterable, Iterator

from trajgen_assets.core.config.config import Config
from trajgen_assets.core.counting import count_of
from trajgen_assets.core.errors import ConfigError, SecretsFileError, ShortageError
from trajgen_assets.core.preflight.findings import Finding, NotLookedError, Subject, fail, ok, warn
from trajgen_assets.core.preflight.prices import has_price
from trajgen_assets.core.rollout.budget import day_used_up
from trajgen_assets.core.sft.engine.converter import converter_of, refuse_unfit_choice
from trajgen_assets.core.sft.filters import read_excluded_repos
from trajgen_assets.core.sft.lf_step import check_tokenizer
from trajgen_assets.core.sft.settings import ConversionSettings


def file(subject: Subject) -> Iterable[Finding]:
    """The file as a whole; each of its problems has a line."""
    found = subject.config_or_error
    if isinstance(found, Config):
        names = ", ".join(source.dataset for source in found.sources())
        return [ok(f"{subject.config_file}: data sets {names}; campaigns {', '.join(found.campaigns())}")]
    if isinstance(found, SecretsFileError):
        raise NotLookedError("secrets.env beside it cannot be used")
    problems = [line.strip() for line in (found.why or "").splitlines() if line.strip()]
    if len(problems) < 2:
        return [fail(found)]
    return [fail(ConfigError(found.what, where=found.where)), *(fail(ConfigError(problem)) for problem in problems)]


def secrets_file(subject: Subject) -> Finding:
    """The file of secrets beside the configuration is in order, if there is one."""
    if isinstance(subject.config_or_error, SecretsFileError):
        return fail(subject.config_or_error)
    n = len(subject.config.secrets_file.values)
    return ok(f"{count_of(n, 'value')} in {subject.config.secrets_file.path}" if n else "none")


def older_keys(subject: Subject) -> Iterable[Finding]:
    """Keys that are accepted and not acted on, and names that mean another one here."""
    mend = "leave out what is not used; `trajgen config migrate` writes a renamed key or name anew"
    return [warn(text, mend) for text in subject.config.notices()] or [ok("every key that is set is acted on")]


def literal_secrets(subject: Subject) -> Iterable[Finding]:
    """Secrets in clear."""
    warnings = subject.config.warnings()
    return [warn(text, "move it to the environment") for text in warnings] or [ok("none stands in the file")]


def agent_settings(subject: Subject) -> Iterator[Finding]:
    """What each campaign's agent is told, and what the proxy does in its stead."""
    for name in subject.campaigns:
        agent = subject.config.campaign(name).agent
        told = [f"{knob} {value}" for knob, value in agent.options.items() if knob in agent.scaffold.settings]
        told += [f"{knob} {getattr(agent, knob)} (by the proxy)" for knob in agent.scaffold.by_proxy]
        yield ok(", ".join([agent.name, *told]), subject=name)


def training_data(subject: Subject) -> Finding:
    """Settings by which a conversion would fail after the rollouts are paid for."""
    chosen = subject.config.runtime_info.input.sft_conversion
    settings = ConversionSettings.of(subject.config)
    if not chosen.enabled:
        return ok("switched off (sft_conversion.enabled)")
    read_excluded_repos(settings.exclude_repos_file)
    check_tokenizer(settings)
    converter = converter_of(subject.config, subject.root.env, lambda _: None)
    refuse_unfit_choice(subject.config, subject.campaigns)
    if converter is None:
        return ok(f"{settings.lf_format}, {settings.instance_status}")
    return ok(f"{settings.lf_format}, {settings.instance_status}, by {chosen.engine} at {converter.commit[:12]}")


def budget(subject: Subject) -> Finding:
    """A budget in money needs prices, and a job needs something left of the day's budget."""
    chosen = subject.config.runtime_info.input.budget
    apis = [subject.config.campaign(name).llm_api for name in subject.campaigns]
    unpriced = next((api.model for api in apis if not has_price(api)), None)
    if chosen.is_in_money and unpriced is not None:
        raise ConfigError(
            f"a budget in US dollars is set, and no price of {unpriced} is known",
            where="runtime_info.input.budget",
            why="nothing would ever count towards it",
            mend="set input_cost_per_token and output_cost_per_token beside the model, or limit tokens",
        )
    if chosen.day.words and (used_up := day_used_up(subject.root, subject.config, subject.ledger)):
        raise ShortageError("no job begins", why=used_up.why, mend=used_up.mend)
    words = [f"{scope}: {words}" for scope in ("trial", "job", "day") if (words := getattr(chosen, scope).words)]
    return ok(", ".join(words) or "none is set")


def spending(subject: Subject) -> Iterator[Finding]:
    """Whether costs are known, and whether anything limits what automation spends."""
    inputs = subject.config.runtime_info.input
    for name in subject.campaigns:
        api = subject.config.campaign(name).llm_api
        if has_price(api):
            yield ok(f"the price of {api.model} is known", subject=name)
        else:
            mend = "set input_cost_per_token and output_cost_per_token beside the model, 0 if it costs nothing"
            yield warn(f"no price is known for {api.model}: costs are shown as unknown", mend, subject=name)
    if not inputs.automation.enabled:
        yield ok("automation is off: nothing is rolled out by itself", subject="limit")
    elif inputs.automation.max_tasks_per_day is None and inputs.budget.day.words:
        yield ok(f"automation spends at most {inputs.budget.day.words} a day", subject="limit")
    elif inputs.automation.max_tasks_per_day is None:
        text = "automation is on, and nothing limits what it rolls out in a day"
        mend = "set runtime_info.input.budget.day, or automation.max_tasks_per_day"
        yield warn(text, mend, subject="limit")
    else:
        yield ok(
            f"automation rolls out at most {count_of(inputs.automation.max_tasks_per_day, 'task')} a day",
            subject="limit",
        )
