"""The program: `synccron`, or `python -m synccron`."""

import sys
from collections.abc import Sequence


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command line (default: the process's) and give its exit status."""
    words = list(sys.argv[1:] if argv is None else argv)
    if words == ["--version"]:  # often asked by scripts: it needs nothing else of the house
        from synccron import __version__

        sys.stdout.write(f"synccron {__version__}\n")
        return 0
    from synccron.cli.main import run

    return run(words)


if __name__ == "__main__":
    sys.exit(main())
