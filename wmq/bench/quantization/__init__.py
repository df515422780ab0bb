"""What int8 costs the model, in every way that there is to quantize it: one table."""
