"""Data and pure decisions: no thread, no socket, no clock."""
