"""Superpixels of images larger than memory: the bits of `segment`, computed tile by tile."""

from superpixel_kernels.tiled.source import PixelSource
from superpixel_kernels.tiled.store import FolderStore, Tile, TileStore, Window

__all__ = ["FolderStore", "PixelSource", "Tile", "TileStore", "Window"]
