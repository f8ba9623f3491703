"""durust and the official library of its tables on one database."""
