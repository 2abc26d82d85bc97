"""Checks of the built container images; `python -m deploy.image.check` runs all of them."""
