"""The writes of a batch on SQLite, a family to a file: what each does in the transaction, and what it is answered."""
