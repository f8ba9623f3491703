"""Threads, loops, the journal and the background services."""
