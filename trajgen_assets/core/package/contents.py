"""What goes into a state package, and from where."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from trajgen_assets.core import atomic
from trajgen_assets.core.config.config import Config, redacted
from trajgen_assets.core.intake.batch_state import BATCH_STATE, LOGS
from trajgen_assets.core.intake.exclusions import FILE_NAME
from trajgen_assets.core.intake.staging import RECORDS
from trajgen_assets.core.ledger.moving import copy_to_file
from trajgen_assets.core.package.form import LEDGER, MOVED
from trajgen_assets.core.paths import Root
from trajgen_assets.core.redact import Redactor

COLLECTED_PRS, SWEGEN_LOGS = "collected_prs", LOGS.as_posix()


@dataclass
class Contents:
    """Path in the package to the file that goes there; and what is left out, with the reason.

    Files of others are copied without secrets into `drafts` first; ours have to be free of them.
    """

    drafts: Path
    redactor: Redactor
    files: dict[str, Path] = field(default_factory=dict)
    left: dict[str, str] = field(default_factory=dict)

    def add(self, name: str, path: Path, *, redact: bool = False) -> None:
        """Take a file, or a folder with all below it. Links and what is no file are left out."""
        if path.is_symlink():
            self.left[name] = "it is a link"
        elif path.is_dir():
            for each in sorted(path.iterdir()):
                self.add(f"{name}/{each.name}", each, redact=redact)
        elif path.is_file():
            self.files[name] = self._redacted(name, path) if redact else path
        elif path.exists():
            self.left[name] = "it is no file"

    def draft(self, name: str) -> Path:
        """Where a file that is made for the package lies meanwhile."""
        path = self.drafts / name
        path.parent.mkdir(parents=True, exist_ok=True)
        self.files[name] = path
        return path

    def _redacted(self, name: str, path: Path) -> Path:
        text = path.read_bytes().decode("utf-8", "surrogateescape")
        copy = self.draft(name)
        copy.write_bytes(self.redactor.text(text).encode("utf-8", "surrogateescape"))
        return copy


def collect(root: Root, config: Config | None, contents: Contents, *, jobs: Sequence[str], logs: bool) -> None:
    """Add all that a package of `root` holds. The root has to be at rest."""
    copy_to_file(root, contents.draft(LEDGER))
    for path in (root.ledger_view, root.index, root.archives, root.spend):
        contents.add(path.name, path)
    for job in jobs:
        contents.add(f"jobs/{job}", root.job(job).dir.resolve())
    for records in sorted(root.tasks.glob(f"*/{RECORDS}")):
        for record in sorted(records.glob("*.json")):
            contents.add(f"{MOVED}/staged/{records.parent.name}/{record.name}", record)
    if logs:
        contents.add("logs", root.logs, redact=True)
    if config is not None:
        atomic.write_yaml(contents.draft(f"{MOVED}/config.yaml"), redacted(config))
        contents.add(f"{MOVED}/{FILE_NAME}", config.resolve(FILE_NAME), redact=True)
        for name, path in _of_sources(config, logs=logs):
            contents.add(f"{MOVED}/sources/{name}", path.resolve(), redact=True)


def _of_sources(config: Config, *, logs: bool) -> Iterator[tuple[str, Path]]:
    for source in config.sources():
        yield f"{source.dataset}/{source.manifest.name}", source.manifest
        yield f"{source.dataset}/{BATCH_STATE}", source.folder / BATCH_STATE
        for around in (COLLECTED_PRS, *([SWEGEN_LOGS] if logs else [])):
            places = (folder / around for folder in (source.folder, *source.folder.parents[:2]))
            found = next((each for each in places if each.is_dir()), None)
            if found is not None:
                yield f"{source.dataset}/{around}", found
