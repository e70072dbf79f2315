"""Run open language models at home, on a rented card and on cards that others lend."""

__version__ = "0.1.0"
