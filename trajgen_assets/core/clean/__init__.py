"""Giving room back: what we know that we made and can make again, and what jobs left, when a person says so."""
