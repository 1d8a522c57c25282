"""Early-stopping rules: pure decisions over the curves of a study's trials."""
