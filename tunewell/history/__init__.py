"""Bring your history: reads trials of other tools, maps them to a study, imports them."""
