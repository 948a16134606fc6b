"""What keys of the earlier system mean here, where that is not the same: data for `trajgen config migrate`."""

from collections.abc import Mapping
from types import MappingProxyType

_IN, _OUT = "runtime_info.input", "runtime_info.output"

CHANGED: Mapping[str, str] = MappingProxyType(
    {
        f"{_IN}.litellm_proxy.port": (
            "changed: the port of the first job's proxy; jobs beside it take the next free ones. Left out, each "
            "takes a free one"
        ),
        f"{_IN}.task_source.dataset_name": (
            "changed: without the manifest verifiable_tasks.txt in it nothing is rolled out; it never means all folders"
        ),
        f"{_IN}.harbor_job.jobs_dir": (
            "changed: job folders lie here as before, and jobs/ of the artifacts root has a link to each"
        ),
        f"{_IN}.harbor_job.n_concurrent": (
            "changed: trials of one job at a time; automation.max_trials limits all jobs of a host together"
        ),
        f"{_IN}.harbor_job.n_tasks": (
            "changed: tasks of one `trajgen start`; the next start takes the next free ones, since the ledger knows "
            "what was consumed"
        ),
        f"{_IN}.harbor_job.max_retries": (
            "changed: counts over all jobs, and only failures of the agent; others count towards max_infra_retries. "
            "A retry is a new attempt in a later job, and the earlier one stays on disk"
        ),
        f"{_IN}.sft_conversion.out_dir": (
            "changed: data lies here as before, and sft_data/ of the artifacts root has a link to each job's"
        ),
        f"{_IN}.sft_conversion.exclude_repos": (
            "changed: a file that is not there is an error. Left out, it is swe_bench, a list that comes with this "
            "system; none is no list"
        ),
        f"{_IN}.sft_conversion.tokenizer_name": (
            "changed: a folder, or a model that the hub's client has on this machine; it is fetched only with @ and a "
            "commit behind its name"
        ),
        f"{_IN}.env_extra.HARBOR_EXCLUDE_TASKS": (
            "changed: a file that is not there or cannot be read is an error; what is in the ledger need not be "
            "listed. `trajgen exclude-list --why` shows what comes of it"
        ),
        f"{_OUT}.sft_data_dir.format": "not changed; without this line it would be sharegpt",
        "meta_info.repositories": "changed: `trajgen update-repos` checks them out; Harbor comes from a lock file",
    }
)

# Whole sections that nothing reads any more.
LEFT_OUT: Mapping[str, str] = MappingProxyType(
    {
        "status": "left out: live state is in the ledger; see `trajgen status`",
        "evolving": "left out: nothing reads it; its knobs are keys of runtime_info.input",
    }
)

ALL_TASKS = "n_tasks was null, which meant all tasks: a start takes automation.batch_max of them, or --limit"
MOVED_ENVIRON = "moved from environment.extra"
EARLIER_FORMAT = "llamafactory_lf_v0.1"
FORMAT_KEPT = "added: the rows that the earlier system wrote; the default here is sharegpt"
