"""Training data from captured trajectories."""
