"""The program: `synccron`, or `python -m synccron`."""

import gc
import sys
from collections.abc import Sequence

# To import makes next to no garbage, but the collector looks for it a hundred times: a fifth of the
# time that `ls` takes. A node puts the usual threshold back.
_RARELY = 100_000


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command line (default: the process's) and give its exit status."""
    if argv is None:
        gc.set_threshold(_RARELY)
        argv = sys.argv[1:]
    if list(argv) == ["--version"]:  # often asked by scripts: it needs nothing else of the house
        from synccron import __version__

        sys.stdout.write(f"synccron {__version__}\n")
        return 0
    from synccron.cli.main import run

    return run(argv)


if __name__ == "__main__":
    sys.exit(main())
