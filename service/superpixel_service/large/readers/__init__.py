"""Readers of image files, one per library. Each imports its library when it opens a file."""
