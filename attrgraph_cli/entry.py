"""Where `attrgraph` begins: a Ctrl-C while the libraries load is a Ctrl-C, too."""

import sys


def main() -> None:
    """Load the command line and run it; for the exit codes see `attrgraph_cli.main`."""
    try:
        from attrgraph_cli.main import main as run
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        sys.exit(130)
    run()
