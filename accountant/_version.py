"""The version, alone in its file so that building need not import the package."""

__version__ = "0.1.0"
