"""The command line. A command imports its packages when it runs, so that `tastefeed --help` answers at once."""

from cli.command_line import main

__all__ = ["main"]
