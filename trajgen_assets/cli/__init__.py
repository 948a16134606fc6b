"""The `trajgen` command."""
