"""The second harness: OpenHands with its Multi-SWE-bench module, driven, read and evaluated."""
