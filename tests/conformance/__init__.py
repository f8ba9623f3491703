"""One suite for every provider: what the seam promises, told by outcomes and rows."""
