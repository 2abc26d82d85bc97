"""Serves stores of large images by name: names, open stores, windows and their cache."""
