"""The pages over all tasks: to search and filter them, their grid by job, and two jobs side by side."""

from collections.abc import Iterator

from trajgen_assets.core.dashboard import places
from trajgen_assets.core.dashboard.facts.funnel import Stage
from trajgen_assets.core.dashboard.facts.models import JobFacts, Outcome
from trajgen_assets.core.dashboard.facts.overview import Overview, columns
from trajgen_assets.core.dashboard.facts.scene import Scene
from trajgen_assets.core.dashboard.render import SiteFile, data_file, page

N_TROUBLED = 200
JOB_COLUMNS = ("dataset", "task", "attempt", "trial", "outcome", "reward", "cause", "tokens", "cost", "duration")


def task_pages(scene: Scene, overview: Overview) -> Iterator[SiteFile]:
    """Tasks, grid and comparison, and what they load first."""
    for number, shard in enumerate(overview.shards):
        yield data_file(_shard_name(number), shard)
    yield data_file("index", _index(scene, overview))
    yield page("tasks.html", places.TASKS, scene=scene, stages=list(Stage), outcomes=list(Outcome))
    yield page(
        "grid.html",
        places.GRID,
        scene=scene,
        troubled=overview.troubled[:N_TROUBLED],
        n_troubled=len(overview.troubled),
    )
    yield page("compare.html", places.COMPARE, scene=scene)


def job_data(job: JobFacts) -> SiteFile:
    """The trials of a job, for its comparison with another one."""
    rows = [
        [
            job.dataset,
            trial.task_id,
            trial.attempt,
            places.slug(trial.name),
            trial.outcome.value,
            trial.reward,
            trial.cause,
            trial.n_tokens,
            trial.cost_usd,
            trial.duration_s,
        ]
        for trial in job.trials
    ]
    head = {"name": job.name, "page": f"jobs/{places.slug(job.name)}", "model": job.model, "scaffold": job.scaffold}
    return data_file(f"jobs/{places.slug(job.name)}", {**head, "columns": JOB_COLUMNS, "rows": rows})


def _shard_name(number: int) -> str:
    return f"tasks/{number:04d}"


def _index(scene: Scene, overview: Overview) -> dict[str, object]:
    jobs = [
        [job.name, places.slug(job.name), job.dataset, job.campaign, job.model, job.scaffold, job.figures.n_trials]
        for job in scene.jobs
    ]
    shards = [[_shard_name(number), list(n)] for number, n in enumerate(overview.n_by_shard)]
    return {"columns": columns(), "shards": shards, "jobs": jobs, "stages": [stage.label for stage in Stage]}
