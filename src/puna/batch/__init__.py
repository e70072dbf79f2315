"""Rows in, rows out: a model applied to a whole file, exact to the row."""
