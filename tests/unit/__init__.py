"""What needs no database, no process and no thread."""
