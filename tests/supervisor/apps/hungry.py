"""An application that needs more memory than there is."""

raise MemoryError
