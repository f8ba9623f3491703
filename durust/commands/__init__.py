"""The groups of commands that need no supervisor."""
