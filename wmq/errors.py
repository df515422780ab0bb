"""The exceptions that a user is meant to see."""


class WmqError(Exception):
    """A one-line message that says what, where and what to do; the command exits with 2."""
