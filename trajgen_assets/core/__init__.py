"""Plain typed functions that do the work. Nothing below this package knows Dagster."""
