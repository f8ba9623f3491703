"""Applications that `durust up` runs in tests, from this folder and by their bare names."""
