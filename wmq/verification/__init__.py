"""Rollouts checked by computing them again."""
