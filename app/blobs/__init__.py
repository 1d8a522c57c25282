"""Where the content of checkpoints lies: a local folder, or any file system that fsspec knows."""
