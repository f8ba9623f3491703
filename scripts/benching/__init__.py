"""The parts of the benchmark: what runs, on which databases, beside which ceilings, and how it is told."""
