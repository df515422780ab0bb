"""The base of every error that a user is meant to see, wherever it is raised.

It is defined in the lowest package, so that those of `calib` and `wmq_kernels` derive from it.
"""

from wmq_kernels.errors import WmqError

__all__ = ["WmqError"]
