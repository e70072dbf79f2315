"""What this machine has: processors, memory, cards."""
