"""The conversation at the terminal."""
