"""The Tunewell service: studies, trials, leases and suggestions behind a REST contract."""
