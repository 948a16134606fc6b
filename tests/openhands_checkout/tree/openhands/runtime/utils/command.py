"""Which module the sandbox runs."""

DEFAULT_MAIN_MODULE = "openhands.runtime.action_execution_server"
