"""Which parts of the site are about training data."""

from collections.abc import Iterator
from functools import partial

from trajgen_assets.core.dashboard.datasets.page import data_of_job, data_set_pages, list_pages
from trajgen_assets.core.dashboard.facts.scene import Scene
from trajgen_assets.core.dashboard.writing import Part


def data_set_parts(scene: Scene, code: str) -> Iterator[Part]:
    """Yield a part for each folder of training data, and one for their list."""
    found = [data for job in scene.jobs if (data := data_of_job(job.name, scene.root.job(job.name).sft)) is not None]
    for data in found:
        yield Part(f"data/{data.name}", f"{code} {data.signature}", partial(data_set_pages, data))
    yield Part("data", None, partial(list_pages, found, len(scene.jobs)))
