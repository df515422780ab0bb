"""Hold what `import wmq` offers: docs/python.md shows it, and `wmq.__all__` lists it.

Names come in as the commands take them, and numbers in natural units; every error is a WmqError.
"""
