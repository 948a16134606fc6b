"""Where an installation stands: its phase, how far it is, what is in the way, and what to do next.

The same is shown by `trajgen status` and written to `status.yaml`. `config.yaml` is never written for it.
"""

from trajgen_assets.core.report.standing.looking import configured, standing_of
from trajgen_assets.core.report.standing.models import Blocker, JobStanding, Phase, Severity, Standing
from trajgen_assets.core.report.standing.publishing import (
    publish_standing,
    publish_standing_if_changed,
    publish_standing_of,
    standing_published,
)

__all__ = [
    "Blocker",
    "JobStanding",
    "Phase",
    "Severity",
    "Standing",
    "configured",
    "publish_standing",
    "publish_standing_if_changed",
    "publish_standing_of",
    "standing_of",
    "standing_published",
]
