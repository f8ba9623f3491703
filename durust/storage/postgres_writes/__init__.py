"""The writes of a batch on Postgres, a family to a file: what is sent for them, and what they are answered."""
