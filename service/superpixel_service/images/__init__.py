"""Images as they come in and go out: files to pixels, labels to files, overlays."""
