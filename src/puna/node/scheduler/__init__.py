"""Which model is loaded, who may use it, who must go."""
