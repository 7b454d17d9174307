"""The command line. A command imports its room when it runs, so that `tastefeed --help` answers at once."""

from cli.app import main

__all__ = ["main"]
