"""Which parts of the site are about training data."""

from collections.abc import Iterator
from functools import partial

from trajgen_assets.core.dashboard.datasets.page import (
    DataSet,
    data_of_job,
    data_of_jobs,
    data_set_pages,
    list_pages,
)
from trajgen_assets.core.dashboard.facts.scene import Scene
from trajgen_assets.core.dashboard.writing import Part
from trajgen_assets.core.sft.data_sets.standing import data_sets_of, why_stale


def data_set_parts(scene: Scene, code: str) -> Iterator[Part]:
    """Yield a part for each folder of training data, and one for their list."""
    found = [*_of_several_jobs(scene), *_of_jobs(scene)]
    names = {data.name for data in found}
    for data in found:
        yield Part(f"data/{data.name}", f"{code} {data.inputs}", partial(data_set_pages, data, scene.marks, names))
    yield Part("data", None, partial(list_pages, found, len(scene.jobs)))


def _of_several_jobs(scene: Scene) -> Iterator[DataSet]:
    for receipt in data_sets_of(scene.root):
        yield data_of_jobs(receipt, why_stale(scene.root, receipt))


def _of_jobs(scene: Scene) -> Iterator[DataSet]:
    for job in scene.jobs:
        if (data := data_of_job(job.name, scene.root.job(job.name).sft)) is not None:
            yield data
