"""Handles to the outside world: Dagster's instance, the artifacts root, the ledger, Harbor and the proxy."""
