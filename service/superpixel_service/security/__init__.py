"""Who may call, and over which certificates."""
