"""Pure values and rules: what a study, a trial and a lease are. Standard library only, no I/O."""
