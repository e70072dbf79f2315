"""Formats that other programs speak, as pydantic models; no logic."""
