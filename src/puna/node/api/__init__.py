"""The node's HTTP face: one folder per dialect."""
