"""One look at an installation."""

import hashlib
from pathlib import Path

from trajgen_assets.core.config.config import Config
from trajgen_assets.core.config.load import load_config
from trajgen_assets.core.errors import ConfigError
from trajgen_assets.core.keys import SMOKE_CAMPAIGN
from trajgen_assets.core.ledger.ledger import Ledger
from trajgen_assets.core.ledger.view import is_edited
from trajgen_assets.core.paths import Root
from trajgen_assets.core.platform import Platform
from trajgen_assets.core.report.standing.blockers import blockers
from trajgen_assets.core.report.standing.models import Standing
from trajgen_assets.core.report.standing.sight import Sight
from trajgen_assets.core.report.standing.steps import Work, next_steps, phase_of


def standing_of(root: Root, ledger: Ledger, config: Config | ConfigError) -> Standing:
    """Look at ledger, locks and configuration; changes nothing.

    Args:
        root: of the installation.
        ledger: its ledger.
        config: its configuration, or why it cannot be read.
    """
    sight = Sight(root, ledger, config)
    smoke = ledger.counts(SMOKE_CAMPAIGN)
    counts = ledger.counts() - smoke
    free, n_excluded = sight.free()
    in_the_way = tuple(blockers(sight, view_is_edited=is_edited(root.ledger_view)))
    n_free = sum(free.values())
    by_person = {name: pause for name in free if (pause := ledger.pause_of(name)) is not None}
    paused = (sight.used_up is not None or name in sight.outages or name in by_person for name in free)
    all_paused = bool(free) and all(paused)
    phase = phase_of(sight.jobs, in_the_way, n_free=n_free, all_paused=all_paused)
    held = tuple(by_person.values()) if len(by_person) == len(free) else ()
    work = Work(counts.running + smoke.running, n_free, held, sight.used_up, sight.unread, sight.is_automatic)
    steps = tuple(next_steps(phase, sight.jobs, in_the_way, counts, work))
    return Standing(
        phase, counts, smoke, n_free, n_excluded, sight.jobs, in_the_way, steps, is_misconfigured=sight.is_misconfigured
    )


def configured(path: Path) -> Config | ConfigError:
    """The configuration, or why it cannot be read, for `standing_of`."""
    try:
        return load_config(path)
    except ConfigError as error:
        return error


def signature_of(platform: Platform, tasks_seen: str) -> str:
    """A digest of all that a standing follows from; the tasks, and whether their view was edited, by `tasks_seen`."""
    sight = Sight(platform.root, platform.ledger, platform.config)
    excluded = sight.excluded if isinstance(sight.excluded, ConfigError) else sorted(sight.excluded)
    datasets = [source.dataset for source in sight.sources]
    known = (tasks_seen, sight.jobs, [*blockers(sight)], datasets, platform.config.campaigns(), sight.unread, excluded)
    return hashlib.sha256(repr((*known, sight.is_automatic)).encode()).hexdigest()
