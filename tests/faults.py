"""Stopping another process at a named point, from the side of the test."""

from dataclasses import dataclass
from pathlib import Path

from tests.waiting import wait_until
from trajgen_assets.core.faults import FAULTS_ENV


@dataclass(frozen=True)
class Points:
    """The folder through which processes are stopped; see `trajgen_assets.core.faults`."""

    folder: Path

    @property
    def environ(self) -> dict[str, str]:
        return {FAULTS_ENV: str(self.folder)}

    def arm(self, point: str) -> None:
        """Let the next process that comes to `point` wait there."""
        self.folder.mkdir(parents=True, exist_ok=True)
        (self.folder / f"{point}.armed").touch()

    def wait(self, point: str, *, limit_s: float = 60.0) -> int:
        """Wait until a process waits at `point`. Returns its pid."""
        wait_until(lambda: self._waiting(point) is not None, limit_s=limit_s)
        waiting = self._waiting(point)
        assert waiting is not None
        return int(waiting.suffix[1:])

    def release(self, point: str) -> None:
        """Let whoever waits at `point`, if it still lives, go on."""
        waiting = self._waiting(point)
        if waiting is not None:
            waiting.unlink()

    def _waiting(self, point: str) -> Path | None:
        return next((path for path in self.folder.glob(f"{point}.*") if path.suffix != ".armed"), None)
