"""Make files that a reader must refuse, each with its reason: damaged, hostile, tampered with."""
