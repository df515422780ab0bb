"""What int8 costs the model, under every available quantization method: one table."""
