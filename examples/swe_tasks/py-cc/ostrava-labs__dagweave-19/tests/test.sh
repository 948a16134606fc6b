#!/bin/bash
# Runs the tests of the task; the reward is 1 when every one of them passes.
cd /app || exit 1
mkdir -p /logs/verifier

export PYTHONDONTWRITEBYTECODE=1 PYTHONPATH=/app
if python3 -m unittest discover -s /tests -v; then
    echo 1 > /logs/verifier/reward.txt
else
    echo 0 > /logs/verifier/reward.txt
fi
