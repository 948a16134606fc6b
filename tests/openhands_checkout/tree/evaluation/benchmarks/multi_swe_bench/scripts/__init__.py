"""A row is graded in the shapes of VeloraHarness."""
