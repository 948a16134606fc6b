"""What the web UI can check: one module for each thing that is looked at."""
