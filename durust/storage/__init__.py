"""Where state is kept: one protocol, three providers."""
