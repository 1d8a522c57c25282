"""Analyses of a study's trials: pure functions from arrays to the columns that are shown."""
