"""The server of a sandbox, of which the stand-in has only what one looks for."""

FLAGS = ("--no-enable-browser",)
ROUTES = ("/alive", "/execute_action", "/update_mcp_server")
