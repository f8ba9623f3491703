"""What a new user sees: the examples, the demo, the README and the pages of the documentation."""
