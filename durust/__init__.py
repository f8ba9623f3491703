"""Durable execution for ordinary Python functions."""
