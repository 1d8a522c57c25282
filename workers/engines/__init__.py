"""Where trials' processes run: on this machine, or on a cluster. One engine a file."""
