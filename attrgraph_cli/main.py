"""`attrgraph`: the command line. Errors that a user can mend are one line; `--debug` shows the trace."""

import logging
import os
import sys

import typer
from rich.console import Console
from rich.markup import escape

from attrgraph_cli import db, diagnose, graph, methods, query, run, runs, stream, study, surgery, ui
from attrgraph_core.errors import AttrGraphError

EXIT_ERROR, EXIT_DEFECT, EXIT_INTERRUPTED = 1, 70, 130

app = typer.Typer(
    name="attrgraph",
    help="Train PyTorch networks by what their attribution graphs say. The graphs are kept in Neo4j and asked in "
    "Cypher. Add --debug to any command to see where an error came from.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command(name="run")(run.run)
app.command(name="query")(query.query)
app.command(name="methods")(methods.methods)
app.command(name="ui")(ui.ui)
app.command(name="diagnose")(diagnose.diagnose)
app.command(name="stream")(stream.stream)
app.command(name="study")(study.study)
app.add_typer(surgery.app, name="surgery")
app.add_typer(runs.app, name="runs")
app.add_typer(graph.app, name="graph")
app.add_typer(db.app, name="db")


def main() -> None:
    """Run the command line; exit codes: 0 done, 1 an error to mend, 2 wrong usage, 70 a defect of ours, 130 Ctrl-C."""
    debug = "--debug" in sys.argv[1:]
    arguments = [argument for argument in sys.argv[1:] if argument != "--debug"]
    if debug:
        os.environ["ATTRGRAPH_DEBUG"] = "1"
    error_console = Console(stderr=True)
    logging.getLogger("neo4j").addHandler(logging.NullHandler())  # or its retries are printed as they are
    try:
        app(arguments)
    except AttrGraphError as error:
        if debug:
            error_console.print_exception()
        error_console.print(f"[bold red]error:[/] {escape(str(error))}", soft_wrap=True, highlight=False)
        sys.exit(EXIT_ERROR)
    except SystemExit as end:
        if end.code == EXIT_INTERRUPTED:  # what typer makes of a KeyboardInterrupt
            error_console.print("interrupted; nothing is left half done, and the same command goes on or begins again")
        raise
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # `attrgraph query ... | head`
        sys.exit(EXIT_ERROR)
    except Exception as error:
        if debug:
            error_console.print_exception()
        error_console.print(
            f"[bold red]unexpected {type(error).__name__}:[/] {escape(str(error))} (a defect of ours; see --debug)",
            soft_wrap=True,
            highlight=False,
        )
        sys.exit(EXIT_DEFECT)


if __name__ == "__main__":
    main()
