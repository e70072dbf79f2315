"""Batches: files of requests that the node answers in the background."""
