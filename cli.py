"""Starts the command line: ``python cli.py`` does what the installed ``accountant`` command does."""

from accountant.commands import main

if __name__ == "__main__":
    main()
