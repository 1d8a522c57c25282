"""Loads what the command line loads, under its names: before processes are forked off."""

from __future__ import annotations

import tunewell.cli
from tunewell._parts import part

LOADED = (tunewell.cli, part("app", "main"), part("app", "offline"), part("workers", "main"))
"""Held so that nobody takes the imports for unused."""
