"""The world models in torch.  Only this folder, `train/` and `export.py` import torch."""
