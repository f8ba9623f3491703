"""The command line, run in this process on real databases."""
