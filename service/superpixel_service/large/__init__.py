"""Images larger than a message or than memory: sources of pixels, ranges of values, stores.

Libraries of the extras `geo`, `large`, `slides` and `dicom` are imported on demand.
"""
