"""A root with the stand-in checked out at its pin."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from tests.openhands_checkout.making import commit_all, make_repository
from trajgen_assets.core.checkouts.pin import pins_of
from trajgen_assets.core.checkouts.update import update
from trajgen_assets.core.config import Config, parse_config

NO_MODEL = {"model": "openai/m", "api_base_url": "http://127.0.0.1:9/v1", "api_key": "k"}


@dataclass(frozen=True)
class Place:
    """A repository, and the folder of a configuration that pins it."""

    origin: Path
    home: Path

    @classmethod
    def under(cls, folder: Path) -> "Place":
        return cls(make_repository(folder / "origin"), folder / "block")

    def config(self, **openhands: Any) -> Config:
        """A configuration that pins what the origin has now."""
        return parse_config(self.text(**openhands), self.home / "config.yaml")

    def text(self, **openhands: Any) -> str:
        """The same as it is written."""
        chosen = {"evaluator": "msb", "python": "/none/bin/python"} | openhands
        inputs = {
            "llm_api": NO_MODEL,
            "task_source": {"provider": "multi_swe_jsonl", "dataset_name": "rows/tasks.jsonl", "manifest": "none"},
            "rollout": {"harness": "openhands"},
            "openhands": {key: value for key, value in chosen.items() if value is not None},
        }
        pin = {"url": str(self.origin), "commit": commit_all(self.origin)}
        return yaml.safe_dump({"meta_info": {"repositories": {"openhands": pin}}, "runtime_info": {"input": inputs}})

    def write_config(self, **openhands: Any) -> None:
        """Write what `config` gives."""
        (self.home / "config.yaml").write_text(self.text(**openhands))

    def checked_out(self, **openhands: Any) -> Config:
        """The same, after the checkout was brought to its pin."""
        config = self.config(**openhands)
        update(pins_of(config)["openhands"], print)
        return config
