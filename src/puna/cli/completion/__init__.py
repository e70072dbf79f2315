"""What a shell completes: commands, options and the names of models."""
