"""What a person may choose about a conversion."""

from pathlib import Path
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field

from trajgen_assets.core.config import Config
from trajgen_assets.core.config.inputs import NAMED_REPO_LISTS

AUTO_SCAFFOLD = "auto"

SWE_BENCH_REPOS = Path(__file__).with_name("swe_bench_repos.txt")

InstanceStatus = Literal["resolved", "unresolved", "all"]
ReasoningMode = Literal["strict", "adaptive"]
Bar = Literal["reject", "keep"]
OverLength = Literal["reject", "cut"]
LfFormat = Literal["sharegpt", "llamafactory_lf_v0.1"]


class ConversionSettings(BaseModel):
    """The choices behind one conversion. Equal settings on equal inputs give equal bytes."""

    model_config = ConfigDict(strict=True, frozen=True, extra="forbid")

    scaffold: str = Field(
        default=AUTO_SCAFFOLD, description="auto takes the scaffold that the job was rolled out with."
    )
    instance_status: InstanceStatus = Field(
        default="resolved", description="resolved keeps reward 1, unresolved reward 0, all keeps partial rewards too."
    )
    resolved_from: float | None = Field(
        default=None, ge=0, le=1, description="Reward from which on a trial is resolved; none is 1, unresolved then 0."
    )
    unknown: Bar = Field(default="reject", description="What becomes of what a filter could not be evaluated for.")
    max_instances: int | None = Field(default=None, ge=1, description="Trials kept at most; none is no limit.")
    exclude_repos_file: Path | None = Field(
        default=SWE_BENCH_REPOS,
        strict=False,
        description="One owner/repo a line; tasks from these repositories are left out.",
    )
    # These three are about today's ledger, manifest and lists, which not every caller has; config.yaml rejects.
    retired: Bar = Field(default="keep", description="What becomes of tasks that people excluded or skipped.")
    revoked: Bar = Field(default="keep", description="What becomes of tasks that their manifest lists no more.")
    task_changed: Bar = Field(default="keep", description="What becomes of tasks whose content is another today.")
    reasoning_check_mode: ReasoningMode = "adaptive"
    reasoning_content_ratio_threshold: float = Field(
        default=0.2, ge=0, le=1, description="Share of model turns with reasoning that a slow-thinking row needs."
    )
    lf_format: LfFormat = "sharegpt"
    mask_error_turns: bool = Field(default=False, description="Weight 0 for turns that a tool refused to run.")
    first_turn: Bar = Field(default="reject", description="What becomes of rows that do not begin with their task.")
    leaks: Bar = Field(default="reject", description="What becomes of rows with leak flags.")
    tokenizer_name: str | None = Field(
        default=None, description="A folder, a tokenizer.json, or owner/name@commit; none: no tokens are counted here."
    )
    cutoff_len: int = Field(default=131072, ge=1, description="Tokens above which a row is too long.")
    over_length: OverLength = Field(default="reject", description="What becomes of rows that are too long.")
    take_cut: bool = Field(default=False, description="Take a cut capture up to its last whole call.")

    @classmethod
    def of(cls, config: Config) -> Self:
        """Return what config.yaml chooses, under `sft_conversion` and `output.sft_data_dir.format`."""
        chosen = config.runtime_info.input.sft_conversion
        return cls(
            scaffold=chosen.scaffold,
            instance_status=chosen.instance_status,
            max_instances=chosen.max_instances,
            exclude_repos_file=listed_repos(config, chosen.exclude_repos),
            retired=chosen.retired,
            revoked=chosen.revoked,
            task_changed=chosen.task_changed,
            reasoning_check_mode=chosen.reasoning_check_mode,
            reasoning_content_ratio_threshold=chosen.reasoning_content_ratio_threshold,
            resolved_from=chosen.resolved_from,
            unknown=chosen.unknown,
            first_turn=chosen.first_turn,
            leaks=chosen.leaks,
            tokenizer_name=located_tokenizer(config, chosen.tokenizer_name),
            cutoff_len=chosen.cutoff_len,
            over_length=chosen.over_length,
            mask_error_turns=chosen.mask_error_turns,
            take_cut=chosen.take_cut,
            lf_format=config.runtime_info.output.sft_data_dir.format,
        )


def listed_repos(config: Config, choice: str) -> Path | None:
    """Return the list that `exclude_repos` names: `swe_bench` is ours, `none` is no list, anything else is a file."""
    if choice in NAMED_REPO_LISTS:
        return SWE_BENCH_REPOS if choice == "swe_bench" else None
    return config.resolve(choice)


def located_tokenizer(config: Config, name: str | None) -> str | None:
    """Return the name of a tokenizer as it stands, or as a path where there is such a file or folder."""
    path = config.resolve(name) if name else None
    return str(path) if path and path.exists() else name or None
