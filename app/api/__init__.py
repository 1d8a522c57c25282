"""The HTTP edge: parse, call the service, render. No SQL, no numerics, no rules of the domain."""

from .application import build

__all__ = ["build"]
