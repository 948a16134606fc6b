"""Preflight: what a job needs, looked at before anything is spent. No check changes anything."""
