"""Programs for work on this project; nothing here is installed."""
