"""What a study's trials show: pure functions from columns of trials to columns of a plot."""
