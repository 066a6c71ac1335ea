"""`python -m radlite` is the same as `radlite`."""

from radlite.cli import main

if __name__ == "__main__":
    raise SystemExit(main())
