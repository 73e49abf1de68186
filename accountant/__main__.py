"""``python -m accountant`` does what the ``accountant`` command does."""

from accountant.commands import main

main()
