"""Data sets: images in folders, lists, Parquet files, buckets or tar shards, and their label maps.

Nothing here is loaded for a plain folder. fsspec and PyArrow come with the extra `bulk`.
"""
