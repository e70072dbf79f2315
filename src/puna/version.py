"""The version of puna, in one place."""

__version__ = "0.1.0"
