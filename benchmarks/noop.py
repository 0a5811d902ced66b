"""The Python job that does nothing; in a module that costs nothing to import."""


def noop(_ctx: object) -> None:
    """Do nothing."""
