"""`python -m hier`, for where the command is not on the path."""

from .cli.app import main

if __name__ == "__main__":  # not in the processes that this one starts
    main()
