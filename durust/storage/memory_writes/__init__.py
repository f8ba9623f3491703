"""The writes of a batch in memory, a family to a file: what each does to the rows, and what it is answered."""
