"""The engine through its public face: each promise on every provider, in both colours where colour matters."""
