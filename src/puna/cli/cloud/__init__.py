"""Commands of the renter: a cloud's offers, pods, bills and budgets."""
