"""Usual and largest values of a rollout, in one place for the command and for Python."""

STAGE, PLAYERS = "battlefield", ("fox", "falco")
MINUTE = 3600  # frames, as many as a rollout has by default
LARGEST = 20_000_000  # frames in all worlds
MOST_WORLDS, MOST_THREADS = 100_000, 1024
LONGEST_WARMUP = 100_000  # frames
LARGEST_SEED = 2**62
LONGEST_DELAY = 60  # frames by which agents see a match late, at most
