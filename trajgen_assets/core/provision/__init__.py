"""Set-up from nothing: what the machine has to have, and the pinned environments that work runs in."""
