"""Secrets planted in every place of a configuration that may hold one, and a search for them in all their spellings."""

import base64
import json
import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from urllib.parse import quote, quote_plus

UPSTREAM_NAME = "CANARY_UPSTREAM_KEY"
UPSTREAM_KEY = 'canary-upstream/+"k"=01'

FIELDS = {
    "runtime_info.input.llm_api.api_key": UPSTREAM_KEY,
    "runtime_info.input.campaigns.other.llm_api.api_key": "canary-campaign/key+02",
    "runtime_info.input.litellm_proxy.master_key": "canary-master/key+03",
    "meta_info.resources.pwd": "canary päss word/04",
    "runtime_info.input.env_extra.CANARY_TOKEN": "canary-env-extra/05",
    "environment.extra.CANARY_PASSWORD": "canary-environment/06",
    "secrets.env": "canary-unnamed-in-file/07",
}

CONFIG = """\
meta_info: {{resources: {{pwd: "canary päss word/04"}}}}
environment: {{extra: {{CANARY_PASSWORD: canary-environment/06}}}}
runtime_info:
  input:
    llm_api: {{model: openai/scripted, api_base_url: "{base_url}", api_key: "${{CANARY_UPSTREAM_KEY}}",
               description: bought as canary-unnamed-in-file/07 and canary-master/key+03}}
    litellm_proxy: {{master_key: canary-master/key+03}}
    campaigns:
      other: {{llm_api: {{model: openai/scripted, api_base_url: "{base_url}", api_key: canary-campaign/key+02}}}}
    task_source: {{dataset_name: "{tasks}"}}
    harbor_job: {{environment: local, n_concurrent: 2, timeout_multiplier: 1}}
    env_extra: {{CANARY_TOKEN: canary-env-extra/05}}
    sft_conversion: {{enabled: true, instance_status: all}}
"""


def plant(folder: Path, *, base_url: str, tasks: Path) -> Path:
    """Write config.yaml and secrets.env into `folder`, and return the configuration."""
    folder.mkdir(parents=True, exist_ok=True)
    config, secrets = folder / "config.yaml", folder / "secrets.env"
    config.write_text(CONFIG.format(base_url=base_url, tasks=tasks))
    secrets.write_text(f"{UPSTREAM_NAME}='{UPSTREAM_KEY}'\nCANARY_NOBODY_NAMES='{FIELDS['secrets.env']}'\n")
    secrets.chmod(0o600)
    return config


def _plain_spellings(value: str) -> Iterator[str]:
    """A secret in clear, and as URLs and JSON hold it."""
    yield from {value, quote(value, safe=""), quote(value), quote_plus(value)}
    yield from {json.dumps(value)[1:-1], json.dumps(value, ensure_ascii=False)[1:-1]}


def _base64_spellings(value: str) -> Iterator[str]:
    """A secret among other text, at each of the three alignments, in both alphabets."""
    for before in ("", "x", "xx"):
        encoded = base64.b64encode(f"{before}{value};".encode())
        yield from {encoded.decode(), base64.urlsafe_b64encode(f"{before}{value};".encode()).decode()}


def needles_of(value: str) -> Iterator[str]:
    """What every spelling of a secret holds, whatever stands around it."""
    yield from _plain_spellings(value)
    for encoded in _base64_spellings(value):
        yield encoded[4:-4]


def all_spellings(values: Mapping[str, str] = FIELDS) -> str:
    """A text that holds each secret in each spelling, as whoever leaks may write it."""
    return " | ".join(spelling for value in values.values() for spelling in spellings_of(value))


def spellings_of(value: str) -> Iterator[str]:
    """A secret in each spelling, alone."""
    yield from _plain_spellings(value)
    yield from _base64_spellings(value)


def found_in(folder: Path, *, but: Iterable[Path] = (), values: Mapping[str, str] = FIELDS) -> list[str]:
    """Each secret and the file below `folder` that holds it in any spelling, the pages of databases included."""
    _checkpoint(folder)
    needles = {name: [form.encode() for form in needles_of(value)] for name, value in values.items()}
    leaks = []
    for path in sorted(folder.rglob("*")):
        if path.is_file() and not path.is_symlink() and path not in set(but):
            data = path.read_bytes()
            named = [name for name, forms in needles.items() if any(form in data for form in forms)]
            leaks += [f"{name} in {path.relative_to(folder)}" for name in named]
    return leaks


def _checkpoint(folder: Path) -> None:
    """Bring write-ahead logs into their databases as well: a secret must be in neither."""
    for path in folder.rglob("*.db"):
        with sqlite3.connect(path) as connection:
            connection.execute("PRAGMA wal_checkpoint(PASSIVE)")
