"""One of many processes that spend a budget: waits for the word, then asks as often as it can, and says how often it got one."""

import sys

from pathlib import Path

from pytest_orxaq.resilience.budget import Budget


folder, calls, tries = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
budget = Budget("ci", ratio=0.5, trickle=0, capacity=20, folder=folder)
sys.stdout.write("ready\n")
sys.stdout.flush()
sys.stdin.readline()
for _ in range(calls):
    budget.earn()
sys.stdout.write(str(sum(budget.take() for _ in range(tries))))
