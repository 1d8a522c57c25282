"""Loads what the command line loads, under its names: before processes are forked off."""

from __future__ import annotations

from tunewell._parts import part
from tunewell.cli.root import COMMANDS, root

LOADED = (
    [root().commands[name].made() for name in COMMANDS],
    part("app", "main"),
    part("app", "offline"),
    part("workers", "main"),
)
"""Held so that nobody takes the imports for unused."""
