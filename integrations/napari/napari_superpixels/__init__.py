"""A napari plugin: superpixels of any size, smart select, and exports."""
