"""Values and rules. Nothing in here does input or output, asks the time, or draws lots.

Every command imports most of this room before it does anything, so it stays with the standard
library's cheapest modules (see `docs/decisions/0002-start-up-is-a-budget.md`).
"""
