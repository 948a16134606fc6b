"""mini-swe-agent: one linear dialogue with one tool, no calls beside it, thoughts sent back as they came."""

from trajgen_assets.core.sft.scaffolds.recorded import RecordedScaffold


class MiniSweAgent(RecordedScaffold):
    """The conversation of a mini-swe-agent trial."""

    name = "mini_swe_agent"
