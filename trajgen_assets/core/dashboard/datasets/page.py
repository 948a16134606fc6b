"""The page of a folder of training data, and the list of all of them."""

import hashlib
from collections.abc import Container, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from trajgen_assets.core.dashboard import places
from trajgen_assets.core.dashboard.datasets.listing import COLUMNS, Listing
from trajgen_assets.core.dashboard.datasets.measures import Measures
from trajgen_assets.core.dashboard.facts.rows import read_rows
from trajgen_assets.core.dashboard.facts.scoring import score_parts
from trajgen_assets.core.dashboard.render import SiteFile, page
from trajgen_assets.core.sft.data_sets.receipt import DataSetReceipt
from trajgen_assets.core.sft.receipt import Balance, SftPaths, load_receipt


@dataclass(frozen=True, slots=True)
class DataSet:
    """A folder of training data, by its receipt.

    Attributes:
        job: the job whose data it is; None for a data set of several jobs.
        jobs: those that it was made of, with the rows that each gave.
        trials: balance of whole trials; None for a data set, which begins with rows.
        stale: why its jobs would give another one now; None where they would not.
    """

    name: str
    job: str | None
    folder: Path
    signature: str
    lf_format: str
    score_version: str | None
    jobs: tuple[tuple[str, Balance], ...]
    trials: Balance | None
    rows: Balance
    stale: str | None = None

    @property
    def inputs(self) -> str:
        """What the page shows, in a few words."""
        return f"{self.signature} {self.stale}"


def data_of_job(job: str, folder: Path) -> DataSet | None:
    """The training data of a job; None where it has none, or none that this version can read."""
    receipt = load_receipt(folder)
    if receipt is None:
        return None
    made = receipt.sft_im
    return DataSet(
        name=job,
        job=job,
        folder=folder.resolve(),  # so that all files are of one version
        signature=receipt.signature,
        lf_format=receipt.sft_lf.lf_format if receipt.sft_lf else "not made",
        score_version=made.score_version,
        jobs=((job, made.rows),),
        trials=made.trials,
        rows=made.rows,
    )


def data_of_jobs(receipt: DataSetReceipt, stale: str | None) -> DataSet:
    """A data set that was made of several jobs' rows."""
    return DataSet(
        name=receipt.data_set,
        job=None,
        folder=receipt.folder.resolve(),
        signature=receipt.signature,
        lf_format=receipt.lf_format,
        score_version=None,
        jobs=tuple((part.job, part.rows) for part in receipt.jobs),
        trials=None,
        rows=receipt.rows,
        stale=stale,
    )


def data_set_pages(
    data: DataSet, trials: Container[tuple[str, str]], with_page: Container[str] = ()
) -> Iterator[SiteFile]:
    """Yield the files of the list of rows, then the page.

    Args:
        data: the folder.
        trials: by job and name those that have a page.
        with_page: names of training data that have one.
    """
    measures, problems = Measures(), []
    listing = Listing(places.data_set_data(data.name), data.job, trials)
    try:
        for row in read_rows(SftPaths(data.folder)):
            measures.add(row)
            yield from listing.add(row)
    except (OSError, ValueError, KeyError, TypeError) as error:
        problems.append(f"the rows from here on, as they cannot be read: {type(error).__name__}")
    yield from listing.rest()
    yield page(
        "dataset.html",
        places.data_set_page(data.name),
        section=places.DATA_SETS,
        data=data,
        measures=measures,
        score_parts=score_parts(),
        n_files=listing.n_files,
        columns=COLUMNS,
        seed=int(hashlib.sha256(data.signature.encode()).hexdigest()[:6], 16),
        problems=problems,
        with_page=with_page,
    )


def list_pages(found: Sequence[DataSet], n_jobs: int) -> Iterator[SiteFile]:
    """Yield the page that lists all training data."""
    yield page("datasets.html", places.DATA_SETS, found=found, n_jobs=n_jobs)
