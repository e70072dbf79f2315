"""The market's HTTP face: one file for each dialect, over the same actions."""
