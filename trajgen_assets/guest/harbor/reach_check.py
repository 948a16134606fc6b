"""Asks a job's proxy for its models from within a sandbox, one that is made for it and removed again.

    python reach_check.py ORDER

ORDER is a file with a JSON object: `environment` (as in Harbor's job configuration), `task` (whose sandbox is made),
`folder` (for what Harbor writes), `session` (the sandbox's name) and `trial` (whose key is used). Address and key are
those that an agent would have; the key goes into the sandbox as a variable, and stands in no command or file. Prints
one JSON object: `step` tells how far it came.
"""

import asyncio
import json
import logging
import sys
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from harbor.environments.factory import EnvironmentFactory
from harbor.models.task.task import Task
from harbor.models.trial.config import EnvironmentConfig
from harbor.models.trial.paths import TrialPaths
from trial_key import api_base, trial_key

TIMEOUT_S = 20
NO_TOOL = 69

# Prints the answer's body, and its status on the last line. Fails where there is no connection.
ASK = r"""
if command -v curl >/dev/null; then
  curl -sS -m 15 -H "Authorization: Bearer $ASK_KEY" -w '\n%{http_code}\n' "$ASK_URL"
elif command -v python3 >/dev/null; then
  python3 -c '
import os, sys, urllib.error, urllib.request
asked = urllib.request.Request(os.environ["ASK_URL"], headers={"Authorization": "Bearer " + os.environ["ASK_KEY"]})
try:
    answer = urllib.request.urlopen(asked, timeout=15)
except urllib.error.HTTPError as error:
    answer = error
except OSError as error:
    sys.exit(str(error))
print(answer.read().decode(errors="replace"))
print(answer.status)'
elif command -v bash >/dev/null && [ "$ASK_SCHEME" = http ]; then
  timeout 15 bash -c '
exec 3<>"/dev/tcp/$ASK_HOST/$ASK_PORT" || exit 7
printf "GET %s HTTP/1.0\r\nHost: %s\r\nAuthorization: Bearer %s\r\n\r\n" "$ASK_PATH" "$ASK_HOST" "$ASK_KEY" >&3
read -r _ status _ <&3; cat <&3; printf "\n%s\n" "$status"'
else
  exit 69
fi
"""


def asked(trial: str) -> dict[str, str]:
    """The variables that ASK reads."""
    url = f"{api_base()}/models"
    place = urlsplit(url)
    port = place.port or (443 if place.scheme == "https" else 80)
    return {
        "ASK_URL": url,
        "ASK_KEY": trial_key(trial),
        "ASK_SCHEME": place.scheme,
        "ASK_HOST": place.hostname or "",
        "ASK_PORT": str(port),
        "ASK_PATH": place.path,
    }


async def reach(order: dict[str, Any]) -> dict[str, Any]:
    """Make the sandbox, ask from within, remove it."""
    task, paths = Task(order["task"]), TrialPaths(Path(order["folder"]))
    paths.mkdir()
    config = EnvironmentConfig.model_validate(order["environment"])
    environment = EnvironmentFactory.create_environment_from_config(
        config=config,
        environment_dir=task.paths.environment_dir,
        environment_name=task.short_name,
        session_id=order["session"],
        trial_paths=paths,
        task_env_config=task.config.environment,
        logger=logging.getLogger("reach_check"),
    )
    try:
        async with asyncio.timeout(task.config.environment.build_timeout_sec):
            await environment.start(force_build=False)
        result = await environment.exec(ASK, env=asked(order["trial"]), timeout_sec=2 * TIMEOUT_S)
    finally:
        await environment.stop(delete=True)
    said, _, status = (result.stdout or "").strip().rpartition("\n")
    if result.return_code == NO_TOOL:
        return {"step": "no tool"}
    if result.return_code != 0 or not status.isdigit():
        told = (result.stderr or result.stdout or "").strip().splitlines()[-1:]
        return {"step": "not reached", "said": "".join(told)[:300] or f"exit code {result.return_code}"}
    return {"step": "answered", "status": int(status), "said": said[-4000:]}


def main() -> None:
    """See the module."""
    order = json.loads(Path(sys.argv[1]).read_text())
    try:
        found = asyncio.run(reach(order))
    except (Exception, SystemExit) as error:
        found = {"step": "no sandbox", "said": " ".join(f"{type(error).__name__}: {error}".split())[:1000]}
    print(json.dumps(found))  # noqa: T201


if __name__ == "__main__":
    main()
