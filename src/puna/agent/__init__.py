"""Runs on a card owner's machine and makes its containers what the market says they should be."""
