"""One form for every entry of the asset catalogue: what is made, what is written, when it fails, and where its code is.

The groups are numbered, because the web UI sorts them by name: so they read in the order in which data flows.
"""

import inspect
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

import dagster as dg

OURS = "team:trajgen"


class Group(StrEnum):
    """The groups of assets, in the order of flow."""

    UPSTREAM = "1_upstream"
    ENVIRONMENTS = "2_environments"
    ROLLOUTS = "3_rollouts"
    JOBS = "4_jobs"
    DATASETS = "5_datasets"
    DOWNSTREAM = "6_downstream"


class Grain(StrEnum):
    """What one partition is; without partitions, that it is the asset as a whole."""

    TASK = "task"
    JOB = "job"
    DATA_SET = "data_set"
    WHOLE = "whole"


@dataclass(frozen=True)
class Words:
    """What the catalogue says of an asset.

    Attributes:
        what: what one partition is, or one materialization where there are none, and what it is made from.
        writes: which files, below `<root>`.
        fails: when it is not made, and what becomes of it then.
    """

    what: str
    writes: str
    fails: str

    @property
    def markdown(self) -> str:
        """A paragraph for each."""
        return f"{self.what}\n\n**Writes** {self.writes}\n\n**Fails** {self.fails}"


def entry(
    key: dg.AssetKey,
    words: Words,
    *,
    group: Group,
    grain: Grain,
    kinds: set[str],
    code: Sequence[Callable[..., Any] | Path],
    owner: str = OURS,
    columns: Sequence[dg.TableColumn] = (),
    **more: Any,
) -> dg.AssetSpec:
    """An asset as the catalogue shows it.

    Args:
        code: the functions that do the work, or files.
        columns: of the rows that it consists of.
        more: what else `dg.AssetSpec` takes.
    """
    metadata: dict[str, Any] = {"dagster/code_references": code_references(code)}
    if columns:
        metadata["dagster/column_schema"] = dg.TableSchema(list(columns))
    return dg.AssetSpec(
        key,
        group_name=group.value,
        description=words.markdown,
        kinds=kinds,
        owners=[owner],
        tags={"trajgen/stage": group.name.lower(), "trajgen/partition": grain.value},
        metadata=metadata,
        **more,
    )


def code_references(places: Sequence[Callable[..., Any] | Path]) -> dg.CodeReferencesMetadataValue:
    """Where these lie on the host that serves the web UI, and nowhere in the repository."""
    with _beta_is_known():
        return dg.CodeReferencesMetadataValue(code_references=[_reference(each) for each in places])


def with_bodies(definitions: Sequence[dg.AssetsDefinition | dg.AssetSpec]) -> list[dg.AssetsDefinition | dg.AssetSpec]:
    """The same, each made by us with a reference to the function that Dagster calls for it."""
    with _beta_is_known():
        found = dg.with_source_code_references(definitions)
    return [each for each in found if isinstance(each, dg.AssetsDefinition | dg.AssetSpec)]


def _reference(place: Callable[..., Any] | Path) -> dg.LocalFileCodeReference:
    if isinstance(place, Path):
        return dg.LocalFileCodeReference(file_path=str(place), label=place.name)
    plain = inspect.unwrap(place)
    _, line = inspect.getsourcelines(plain)
    return dg.LocalFileCodeReference(
        file_path=str(Path(inspect.getfile(plain)).resolve()), line_number=line, label=plain.__name__
    )


@contextmanager
def _beta_is_known() -> Iterator[None]:
    """Dagster calls references to code a beta, each time; a test of ours says when they no longer load."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", dg.BetaWarning)
        yield
