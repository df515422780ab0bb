"""The product: from replays to an integer program, its rollouts, and what int8 costs them."""

import logging

import calib  # noqa: F401  (turns onnxruntime's telemetry off before anything here imports it)

logging.getLogger("wmq").addHandler(logging.NullHandler())
