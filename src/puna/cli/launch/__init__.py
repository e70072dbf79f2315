"""Other programs, started against a model of this node."""
