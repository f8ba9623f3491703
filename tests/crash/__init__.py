"""A workflow is killed at each durable boundary, and a ledger tells what ran twice."""
