"""Tables of claims: reading them, checking every row, and the tables that ship with the package."""
