"""Conversations and the text they become."""
