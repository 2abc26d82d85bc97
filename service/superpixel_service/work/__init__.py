"""The work itself: which image is computed when, by which thread, and whose answer it is."""
