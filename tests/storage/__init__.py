"""What one database alone can show: Postgres's locks, its schema and its statements."""
