"""How much each turn of the model counts in the loss: 1, or 0 for turns that a tool refused, where that is wanted."""

from trajgen_assets.core.sft.messages import Json

LEARNED, MASKED = 1, 0

# How results begin that say that a call could not be run as it was made (Claude Code, OpenCode).
REFUSALS = ("<tool_use_error>", "The arguments provided to the tool are invalid")


def weigh(messages: list[Json], *, mask_error_turns: bool) -> list[Json]:
    """Return `messages` with a `weight` in each turn of the model, in IM form."""
    masked = error_turns(messages) if mask_error_turns else set()
    return [
        message | {"weight": MASKED if index in masked else LEARNED} if message["role"] == "assistant" else message
        for index, message in enumerate(messages)
    ]


def error_turns(messages: list[Json]) -> set[int]:
    """Return the places of those turns of the model, one of whose calls a tool refused to run."""
    turn, found = -1, set()
    for index, message in enumerate(messages):
        if message["role"] == "assistant":
            turn = index
        elif message["role"] == "tool" and message["content"].lstrip().startswith(REFUSALS):
            found.add(turn)
    return found
