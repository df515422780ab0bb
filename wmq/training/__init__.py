"""Training of the world models on a dataset (torch lives here)."""
