"""The machine's exceptions: each message names the place in the file and what is wrong."""


class ProgramError(Exception):
    """A program that is damaged, of another version, or not proven safe to run."""
