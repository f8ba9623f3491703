"""An application that does not load."""

raise RuntimeError("the till is\nempty")
