"""The rows that jobs give, and that they are those of the jobs' receipts."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import orjson

from trajgen_assets.core.counting import count_of
from trajgen_assets.core.errors import ConversionError
from trajgen_assets.core.paths import JobPaths
from trajgen_assets.core.sft.data_sets.receipt import Variant
from trajgen_assets.core.sft.messages import Json
from trajgen_assets.core.sft.plan import CODE_VERSION
from trajgen_assets.core.sft.receipt import FileDigest, Receipt, SftPaths, load_receipt, stands

# Of so many jobs the error says what is wrong with each; the command that mends it names them all.
N_TOLD = 5


@dataclass(frozen=True)
class JobRows:
    """The converted rows of one job. Its folder is the one that was current when it was looked at."""

    receipt: Receipt

    @property
    def job(self) -> str:
        """Its name."""
        return self.receipt.job

    @property
    def im(self) -> FileDigest:
        """What its im.jsonl is."""
        return self.receipt.sft_im.files[self.paths.im.name]

    @property
    def paths(self) -> SftPaths:
        """Its files, in the folder of one version."""
        return SftPaths(self.receipt.folder)

    def rows(self) -> Iterator[tuple[bytes, Json]]:
        """Yield each row of im.jsonl, as it stands there and parsed, one at a time."""
        with self.paths.im.open("rb") as file:
            for line in file:
                yield line, orjson.loads(line)


def rows_of_jobs(jobs: Iterable[JobPaths]) -> list[JobRows]:
    """Return what jobs give, after reading all their files once to see that they are those of the receipts.

    Raises:
        ConversionError: some were not converted, or something has changed their files; it names them all.
    """
    found: list[JobRows] = []
    faults: dict[str, str] = {}
    for job in jobs:
        folder = job.sft.resolve()  # a conversion in the meantime moves the link and leaves this folder alone
        receipt = load_receipt(folder)
        if fault := _fault(receipt, folder):
            faults[job.sft.name] = fault
        elif receipt is not None:
            found.append(JobRows(receipt))
    if faults:
        raise ConversionError(
            f"{count_of(len(faults), 'job gives', 'jobs give')} no rows that one could rely on",
            why="; ".join(f"{name}: {fault}" for name, fault in islice(faults.items(), N_TOLD)),
            mend=f"`trajgen convert {' '.join(f'--job {name}' for name in faults)}`",
        )
    return found


def _fault(receipt: Receipt | None, folder: Path) -> str | None:
    if receipt is None:
        return "it was not converted"
    if receipt.code_version != CODE_VERSION:  # whose rows lack what those of this one have
        return f"it was converted by version {receipt.code_version} of the code, and this is {CODE_VERSION}"
    if not stands(receipt.sft_im.files, folder):
        return "its files are not those of its receipt"
    return None


def differences_between(inputs: Sequence[JobRows]) -> dict[str, tuple[Variant, ...]]:
    """Return the settings of conversion that jobs differ in, sorted by name, with who has which value."""
    settings = {each.job: _settings(each.receipt) for each in inputs}
    names = sorted({name for chosen in settings.values() for name in chosen})
    variants = {name: _variants(name, settings) for name in names}
    return {name: found for name, found in variants.items() if len(found) > 1}


def _settings(receipt: Receipt) -> Json:
    """What the rows depend on beside the trials. The scaffold is the job's own, and of no choice of a conversion."""
    chosen = {name: value for name, value in receipt.settings.items() if name != "scaffold"}
    return chosen | {"score_version": receipt.sft_im.score_version, "lf_format": receipt.sft_lf.lf_format}


def _variants(name: str, settings: dict[str, Json]) -> tuple[Variant, ...]:
    values = list({orjson.dumps(chosen.get(name)): chosen.get(name) for chosen in settings.values()}.values())
    return tuple(
        Variant(value=value, jobs=tuple(job for job, chosen in settings.items() if chosen.get(name) == value))
        for value in values
    )
