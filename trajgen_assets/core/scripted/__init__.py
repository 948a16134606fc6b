"""A scripted model: an OpenAI-compatible server that plays one script for each known task.

Tests and the demo run the real harness against it, so that nothing has to be mocked and nothing costs money.
"""

from trajgen_assets.core.scripted.faults import Fault, FaultPlan
from trajgen_assets.core.scripted.running import ScriptedModel, running_scripted_model
from trajgen_assets.core.scripted.script import MODEL_NAME, Script, load_scripts

__all__ = ["MODEL_NAME", "Fault", "FaultPlan", "Script", "ScriptedModel", "load_scripts", "running_scripted_model"]
