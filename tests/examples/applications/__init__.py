"""Applications as users write them; the tests copy them into a folder of their own."""
