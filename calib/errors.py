"""The exceptions of calibration: one line that says what, where and what to do."""

from wmq_kernels.errors import WmqError

FOREIGN = (
    "wmq reads the step that `wmq export` makes of a run of `wmq train`, and cannot import models "
    "or checkpoints from elsewhere yet"
)


class CalibrationError(WmqError):
    """A float step, recipe or calibration set that cannot be used; a command exits with 2."""


class ForeignModel(CalibrationError):
    """A file of another program."""


class UnfitWeight(CalibrationError):
    """A weight, named, that no program can hold: neither other play nor another recipe helps."""
