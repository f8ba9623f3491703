"""Routines driven in one thread, without threads, clocks or loops, and crashed wherever they can be."""
