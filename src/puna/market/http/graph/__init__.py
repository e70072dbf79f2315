"""RunPod's GraphQL: one schema, what each field does, and what a hostile query costs."""
