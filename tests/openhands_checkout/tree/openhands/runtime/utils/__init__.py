"""How the server of a sandbox is started."""
