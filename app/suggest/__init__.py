"""Suggesters: pure functions from what is known of a study to the next points. No I/O, no clock."""
