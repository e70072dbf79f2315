"""Rent machines anywhere: a client of markets, puna's own and RunPod's."""
