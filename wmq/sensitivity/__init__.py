"""Where an integer program loses quality: its tensors rounded one class at a time."""
