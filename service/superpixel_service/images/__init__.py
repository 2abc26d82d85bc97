"""Reads image files, writes label maps as files, and draws overlays."""
