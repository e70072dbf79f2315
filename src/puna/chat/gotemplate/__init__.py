"""Go's `text/template` language, as Ollama's models use it."""
