"""The Docker engine, asked from within Harbor's process by the client that Harbor uses, too."""

import asyncio

DOCKER = "docker"
LIMIT_S = 60.0


class NetworkIsolationError(RuntimeError):
    """An agent's network could not be closed, or not be opened again after it: no doing of the agent."""


async def ask_engine(*arguments: str, limit_s: float = LIMIT_S) -> str:
    """What the client prints.

    Raises:
        NetworkIsolationError: it is missing, refuses, or takes longer than `limit_s` seconds.
    """
    what = f"docker {' '.join(arguments[:2])}"
    try:
        client = await asyncio.create_subprocess_exec(
            DOCKER, *arguments,
            stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
    except OSError as error:
        raise NetworkIsolationError(f"{what}: {error}") from error
    try:
        said, complaint = await asyncio.wait_for(client.communicate(), limit_s)
    except TimeoutError as error:
        raise NetworkIsolationError(f"{what}: no answer in {limit_s:g} s") from error
    finally:
        if client.returncode is None:
            client.kill()
            await client.wait()
    if client.returncode != 0:
        why = complaint.decode(errors="replace").strip().splitlines()[-1:]
        raise NetworkIsolationError(f"{what}: {''.join(why) or f'exit code {client.returncode}'}")
    return said.decode(errors="replace")
