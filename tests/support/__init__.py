"""What tests of every kind lean on: a Postgres server for the session, waiting, and real processes."""
