"""The version of puna, in one place."""

__version__ = "0.1.0"
OLLAMA_VERSION = "0.32.15"
"""The Ollama version whose formats are spoken; clients and registries ask for it."""
