"""The version: read here, not from what is installed, as that takes longer than a short command."""

__version__ = "0.1.0"
