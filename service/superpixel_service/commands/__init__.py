"""What the `superpixel` command does, one module a command, each with `run(**arguments) -> exit status`."""
