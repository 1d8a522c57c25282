"""The endpoints of /v1: each parses, makes one service call in a thread, and renders."""
