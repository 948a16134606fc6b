"""Agents for images that lack them: built from the package registries, or given by people, and mounted read-only."""
