"""Tests of the early-stopping rules."""
