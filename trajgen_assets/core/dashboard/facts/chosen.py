"""Which trials have a row in a data set of several jobs, by the tables of these."""

from collections.abc import Set
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from trajgen_assets.core.paths import Root
from trajgen_assets.core.sft.data_sets.standing import data_sets_of
from trajgen_assets.core.sft.receipt import SftPaths


@dataclass(frozen=True)
class Chosen:
    """The trials, by job and name; None where no data set of several jobs was built yet: then all count as chosen."""

    trials: Set[tuple[str, str]] | None

    @classmethod
    def of(cls, root: Root) -> Self:
        """Read the tables of all data sets of `root`."""
        tables = [SftPaths(receipt.folder).table for receipt in data_sets_of(root)]
        return cls({trial for table in tables for trial in _kept(table)} if tables else None)

    def holds(self, job: str, trial: str) -> bool:
        """Whether a row of this trial is in one of them."""
        return self.trials is None or (job, trial) in self.trials


def _kept(table: Path) -> Set[tuple[str, str]]:
    import polars as pl

    kept = pl.scan_parquet(table).filter(pl.col("reason").is_null()).select("job", "trial").unique().collect()
    return set(kept.iter_rows())
