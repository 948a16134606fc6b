"""Verified software-engineering tasks in, agent trajectories and training data out."""
