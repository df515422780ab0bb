"""From a float step in ONNX to an integer program."""

import os

# onnxruntime 1.32 leaves a device id and a queue of telemetry events, with the operating system,
# the processor and Python's path, in the user's cache folder.  It looks at this once, while it is
# imported; its disable_telemetry_events() comes too late.  Nothing in calib or wmq imports it
# before this line has run.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
