"""The command line interface; the only home of typer.  One module per command, imported when it is asked for."""
