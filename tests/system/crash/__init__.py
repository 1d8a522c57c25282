"""The crash matrix: every step of the protocol under every fault, on both databases."""
