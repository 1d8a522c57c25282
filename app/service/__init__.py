"""Use cases: load, call a pure function, store; each in short transactions, with no HTTP types."""
