"""The worker program: claims trials from the service and evaluates them in child processes."""
