"""What a judge is asked, as data. A name of `VERSIONS` changes with any word here: it is another question then."""

from typing import Literal

Method = Literal["checklist", "dynamic"]

VERSIONS: dict[Method, str] = {"checklist": "checklist-1", "dynamic": "dynamic-1"}

# Category, name of the check, question. Each is answered from LOWEST to HIGHEST.
LOWEST, HIGHEST = 1, 5
FIXED: tuple[tuple[str, str, str], ...] = (
    ("understanding", "diagnosis", "Does the agent find the real cause of the problem, and not only a symptom?"),
    ("understanding", "scope", "Does it see all that the task asks for, and nothing beyond?"),
    ("understanding", "plan", "Does it work by a plan that fits the task?"),
    ("solution", "elegance", "Is the change clear, and does it fit the code around it?"),
    ("solution", "minimality", "Does the change touch no more than it has to?"),
    ("solution", "robustness", "Does the change hold for borderline input, and break nothing else?"),
    ("reasoning", "coherence", "Does each step follow from what was seen before it?"),
    ("reasoning", "hypotheses", "Are guesses stated, and tested before they are built upon?"),
    ("reasoning", "adaptability", "Does it change course when what it sees contradicts it?"),
    ("verification", "reproduction", "Does it see the problem happen before it mends it?"),
    ("verification", "fix_check", "Does it show that the problem is gone?"),
    ("verification", "test_quality", "Do its tests or checks cover what matters?"),
    ("efficiency", "navigation", "Does it come to the right places without detours?"),
    ("efficiency", "tools", "Does it use the tools that suit each step, without errors of its own making?"),
    ("efficiency", "iterations", "Does it need no more rounds than the task is worth?"),
)

# A list made for a task: from so many checks to so many are asked for, some more taken; each of one category.
FEWEST_MADE, MANY_MADE, MOST_MADE = 15, 35, 40
MADE_CATEGORIES = (
    "user_query",
    "system_prompt",
    "tool_schema",
    "repo_policy",
    "implementation",
    "verification",
    "communication",
)
MOST_EVIDENCE = 3

# How much of each text a judge is shown, in characters; of a longer one its beginning and its end.
QUESTION_LIMIT, SYSTEM_LIMIT, TOOLS_LIMIT = 12_000, 8_000, 10_000
RESULT_LIMIT, TURN_LIMIT = 5_000, 50_000
