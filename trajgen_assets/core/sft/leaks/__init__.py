"""Signs that a model had the solution, or changed what judges it, instead of solving its task."""
