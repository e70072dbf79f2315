"""Runs models on this machine."""
