"""A reference annotation backend: a versioned store of images, label maps and selections.

README.md says how to run it, and describes its endpoints and its schema.
"""
