"""Train world models on a dataset (torch lives here)."""
