"""Verbs of the market, one transaction each: they write what is wanted, and loops make it true."""
