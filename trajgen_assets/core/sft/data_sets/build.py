"""From the rows of chosen jobs to one data set, in the files that a job's data have.

On equal rows and choices it writes equal bytes; a version that stands is used again.
"""

import logging
import os
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Self

from trajgen_assets.core.atomic import open_atomic
from trajgen_assets.core.paths import JobPaths
from trajgen_assets.core.sft.data_sets.inputs import JobRows, differences_between, rows_of_jobs
from trajgen_assets.core.sft.data_sets.joining import Joined, join
from trajgen_assets.core.sft.data_sets.receipt import DataSetReceipt, load_data_set, total, write_data_set
from trajgen_assets.core.sft.data_sets.selection import Selection
from trajgen_assets.core.sft.lf_step import lf_signature, style_tokenizer, write_lf_files
from trajgen_assets.core.sft.plan import CODE_VERSION, sha256_json
from trajgen_assets.core.sft.receipt import FileDigest, SftPaths, digests, version_name
from trajgen_assets.core.sft.settings import ConversionSettings
from trajgen_assets.core.sft.table import RowTable
from trajgen_assets.core.sft.versions import Versions

# Raised whenever the same rows and choices would give other bytes than before.
JOINING_VERSION = "1"

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Order:
    """Everything that decides what a data set will hold."""

    name: str
    inputs: tuple[JobRows, ...]
    selection: Selection
    settings: ConversionSettings

    @classmethod
    def of(cls, name: str, jobs: Iterable[JobPaths], selection: Selection, settings: ConversionSettings) -> Self:
        """Look at the rows of `jobs`, which stand in the data set in this order.

        Raises:
            ConversionError: a job was not converted, or its files are not those of its receipt.
        """
        return cls(name, tuple(rows_of_jobs(jobs)), selection, settings)

    @cached_property
    def signature(self) -> str:
        """The digest of all rows, choices and versions of the code."""
        rows = [[each.job, each.receipt.signature, each.im.sha256] for each in self.inputs]
        chosen = self.selection.model_dump(mode="json")
        return sha256_json([JOINING_VERSION, self.name, rows, chosen, lf_signature(self.name, self.settings)])

    def standing(self, versions: Versions) -> DataSetReceipt | None:
        """The receipt of a whole version that is what this order would give."""
        found = [load_data_set(folder) for folder in versions.named(version_name(self.signature))]
        whole = [each for each in found if each and each.signature == self.signature and each.is_whole]
        return whole[-1] if whole else None

    def receipt(self, joined: Joined, files: dict[str, FileDigest], folder: Path) -> DataSetReceipt:
        """The receipt for the rows that were joined."""
        return DataSetReceipt(
            data_set=self.name,
            code_version=f"{CODE_VERSION}.{JOINING_VERSION}",
            signature=self.signature,
            selection=self.selection,
            lf_format=self.settings.lf_format,
            jobs=tuple(joined.parts),
            rows=total(part.rows for part in joined.parts),
            tasks=joined.tasks,
            differences=differences_between(self.inputs),
            files=files,
            folder=folder,
        )


def build_data_set(order: Order, place: Path) -> DataSetReceipt:
    """Join the rows of an order, unless a version of the data set behind `place` holds just that.

    Returns:
        The receipt; `changed` says whether another version than before is the current one.

    Raises:
        ConversionError: nothing can be written.
    """
    versions = Versions.of(place)
    versions.adopt()
    if (standing := order.standing(versions)) is not None:
        is_changed = versions.make_current(standing.folder)
        return standing.model_copy(update={"changed": is_changed, "folder": place})
    with versions.making() as folder:
        receipt = _write(order, folder)
        versions.publish(folder, version_name(order.signature))
    logger.info("data set %s: %s of %s rows kept", order.name, receipt.rows.n_kept, receipt.rows.n_in)
    return receipt.model_copy(update={"folder": place})


def foresee_data_set(order: Order, place: Path) -> DataSetReceipt:
    """Return the receipt that a build would write, without files; `changed` says whether it would write any."""
    with Path(os.devnull).open("wb") as nowhere:
        joined = join(order.inputs, order.selection.one_per_task, nowhere, nowhere)
    current = load_data_set(place)
    would_change = current is None or current.signature != order.signature or not current.is_whole
    return order.receipt(joined, {}, place).model_copy(update={"changed": would_change})


def _write(order: Order, folder: Path) -> DataSetReceipt:
    """Write all files of a data set, the receipt last."""
    paths = SftPaths(folder)
    with open_atomic(paths.im) as kept, open_atomic(paths.rejected) as rejected:
        joined = join(order.inputs, order.selection.one_per_task, kept, rejected, table := RowTable())
    table.write(paths.table)
    _, files = write_lf_files(paths, order.name, order.settings.lf_format, style_tokenizer(order.settings))
    receipt = order.receipt(joined, digests(paths.im, paths.rejected, paths.table) | files, folder)
    write_data_set(receipt)
    return receipt
