"""What a model is: values only, no disk beyond reading one file."""
