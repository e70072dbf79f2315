"""One file a promise: a turn takes no input, may be repeated, and repairs what a crash left."""
