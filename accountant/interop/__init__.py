"""The accountant inside other privacy libraries, a module each: import the one you have (see ``docs/guides/interop-*.md``).

These modules import the core, never the other way round, and each needs its own extra.
"""
