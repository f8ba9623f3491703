"""Processes, signals and the command line: what keeps workers alive, and hands back what a dead one held."""
