"""The asset catalogue: whatever is defined says what it is, and the columns that it shows are those of its rows."""

import itertools
import re
import warnings
from pathlib import Path

import dagster as dg
import pytest

from trajgen_assets.assets import columns
from trajgen_assets.assets.catalogue import Grain, Group
from trajgen_assets.core.paths import PROJECT
from trajgen_assets.core.rollout.trials import TrialEntry
from trajgen_assets.definitions import defs
from trajgen_assets.names import DOWNLOADED_TASKS, HARBOR_REPO, SWE_DATA_PROCESS_ENV, TRAINING_RUN, VERIFIED_TASKS

# Sorted: Dagster gives them in an order of sets, and processes that share the tests must see one order.
SPECS = dict(sorted((spec.key.to_user_string(), spec) for spec in defs().resolve_all_asset_specs()))
ENDS = {VERIFIED_TASKS.to_user_string(), TRAINING_RUN.to_user_string()}


@pytest.mark.parametrize("spec", SPECS.values(), ids=SPECS)
def test_every_asset_says_what_it_is_what_it_writes_and_when_it_fails(spec: dg.AssetSpec) -> None:
    what, writes, fails = (spec.description or "").split("\n\n")
    assert re.match(r"One (partition|materialization) is ", what)
    assert writes.startswith("**Writes** ")
    assert fails.startswith("**Fails** ")
    assert spec.partitions_def is None or what.startswith("One partition is ")


@pytest.mark.parametrize("spec", SPECS.values(), ids=SPECS)
def test_every_asset_has_a_group_of_the_flow_kinds_an_owner_and_tags(spec: dg.AssetSpec) -> None:
    group = Group(spec.group_name)
    assert spec.kinds
    assert len(spec.owners) == 1
    assert spec.owners[0].startswith("team:")
    assert spec.tags["trajgen/stage"] == group.name.lower()
    assert Grain(spec.tags["trajgen/partition"]) is not None
    assert (spec.partitions_def is None) == (spec.tags["trajgen/partition"] == Grain.WHOLE)


@pytest.mark.parametrize("spec", SPECS.values(), ids=SPECS)
def test_every_asset_leads_to_its_code_which_lies_in_this_checkout(spec: dg.AssetSpec) -> None:
    found = spec.metadata["dagster/code_references"]
    assert isinstance(found, dg.CodeReferencesMetadataValue)
    files = [each for each in found.code_references if isinstance(each, dg.LocalFileCodeReference)]
    assert files
    for each in files:
        path = Path(each.file_path)
        assert path.is_relative_to(PROJECT)
        text = path.read_text().splitlines()[(each.line_number or 1) - 1 :][:4]
        is_named = each.label is None or each.label == path.name or any(f"def {each.label}(" in line for line in text)
        assert is_named, each
    has_body = any(each.label is None for each in files)
    assert has_body or spec.key.to_user_string() in ENDS


@pytest.mark.parametrize("spec", SPECS.values(), ids=SPECS)
def test_every_column_has_a_type_and_a_description(spec: dg.AssetSpec) -> None:
    schema = spec.metadata.get("dagster/column_schema", dg.TableSchema([]))
    assert isinstance(schema, dg.TableSchema)
    assert all(column.type and column.description for column in schema.columns)


def test_the_groups_sort_as_the_data_flows_and_no_asset_comes_before_what_it_is_made_from() -> None:
    names = [group.value for group in Group]
    assert names == sorted(names)
    for spec in SPECS.values():
        upstream = [SPECS[dep.asset_key.to_user_string()] for dep in spec.deps]
        assert all((each.group_name or "") <= (spec.group_name or "") for each in upstream)


def test_the_flow_has_both_ends_and_only_what_is_optional_lies_beside_it() -> None:
    made_from = {name: {dep.asset_key.to_user_string() for dep in spec.deps} for name, spec in SPECS.items()}
    roots = {name for name, deps in made_from.items() if not deps}
    assert {SPECS[name].group_name for name in roots} == {Group.UPSTREAM, Group.ENVIRONMENTS}
    used = set(itertools.chain.from_iterable(made_from.values()))
    beside = {
        key.to_user_string() for key in (DOWNLOADED_TASKS, HARBOR_REPO, SWE_DATA_PROCESS_ENV)
    }  # used where a configuration says so
    assert {SPECS[name].group_name for name in SPECS.keys() - used - beside} == {Group.DOWNSTREAM}


def test_the_definitions_load_without_a_warning() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        dg.Definitions.validate_loadable(defs())


def test_the_columns_of_a_job_are_those_of_its_trials() -> None:
    assert [column.name for column in columns.TRIALS] == list(TrialEntry.model_fields)
