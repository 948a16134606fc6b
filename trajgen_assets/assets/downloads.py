"""Task sources that are elsewhere: downloaded by a click, as by `trajgen prepare-tasks`."""

import hashlib
from collections.abc import Iterator
from typing import Any

import dagster as dg

from resources.platform import PlatformResource
from trajgen_assets.assets.catalogue import Grain, Group, Words, entry
from trajgen_assets.assets.failing import failing_by
from trajgen_assets.assets.standing import is_news
from trajgen_assets.core.intake.remote.fetch import Record, fetch_all, read_record
from trajgen_assets.core.redact import Redactor
from trajgen_assets.names import DOWNLOADED_TASKS

NOTHING = "nothing to download"


@dg.multi_asset(
    name="download_tasks",
    specs=[
        entry(
            DOWNLOADED_TASKS,
            Words(
                what=(
                    "One materialization is one content of all task sources that are not on this host: commits of the "
                    "hub's repositories, and data sets of Harbor's registry. Its version is the digest of their "
                    "files. What is here whole is not downloaded again; the sensor never downloads."
                ),
                writes="a folder for each commit or version, which appears when it is whole (`download.dir`).",
                fails="when a source cannot be had whole or is refused; the others come, and what stood before stands.",
            ),
            skippable=True,
            group=Group.UPSTREAM,
            grain=Grain.WHOLE,
            kinds={"huggingface"},
            code=[fetch_all],
        )
    ],
)
def downloaded_tasks(
    context: dg.AssetExecutionContext, platform: PlatformResource
) -> Iterator[dg.MaterializeResult[Any]]:
    """Bring each source here; where they are all here already, their event stays."""
    with failing_by(Redactor.of_environ()):
        remotes = platform.configuration().remotes()
        harbor_env = platform.artifacts_root().env / "harbor-uv"
        records = [read_record(each.remote) for each in fetch_all(remotes, harbor_env, context.log.info)]
    version = hashlib.sha256("".join(each.sha256 for each in records).encode()).hexdigest() if records else NOTHING
    if is_news(context.instance, DOWNLOADED_TASKS, None, version):
        yield dg.MaterializeResult(
            DOWNLOADED_TASKS, metadata=_metadata_of(records), data_version=dg.DataVersion(version)
        )


def _metadata_of(records: list[Record]) -> dict[str, Any]:
    """The sources in a table, and their sums."""
    rows = [
        dg.TableRecord(
            {
                "source": each.name,
                "revision": each.revision or "",
                "complete_tasks": each.n_complete_tasks,
                "has_manifest": bool(each.manifests),
                "files": each.n_files,
                "size_bytes": each.size_bytes,
            }
        )
        for each in records
    ]
    return {
        "n_sources": len(records),
        "n_complete_tasks": sum(each.n_complete_tasks for each in records),
        "size_bytes": sum(each.size_bytes for each in records),
        **({"sources": dg.MetadataValue.table(rows)} if rows else {}),
    }
