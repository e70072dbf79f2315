"""`python -m puna` is the same program as `puna`."""

from puna.cli.main import main

if __name__ == "__main__":
    main()
