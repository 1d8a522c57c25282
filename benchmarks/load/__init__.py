"""The parts of `service.py`: who calls, what is called, and who is compared with."""
