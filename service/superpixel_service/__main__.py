"""`python -m superpixel_service` is the `superpixel` command."""

from superpixel_service.cli import main

if __name__ == "__main__":
    raise SystemExit(main())
