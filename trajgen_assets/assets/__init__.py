"""What exists, from what, and how we know: one module for each stage of the flow."""
