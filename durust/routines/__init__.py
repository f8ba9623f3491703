"""Durable operations as generators that decide and ask."""
