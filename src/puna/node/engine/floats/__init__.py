"""puna's own forward pass in 32-bit floats, for models of the llama kind."""
