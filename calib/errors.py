"""The exceptions of calibration: one line that says what, where and what to do."""


class CalibrationError(Exception):
    """A float step, recipe or calibration set that cannot be used; a command exits with 2."""
