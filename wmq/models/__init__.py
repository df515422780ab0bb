"""Define the world models in torch, and their sizes as plain data."""
