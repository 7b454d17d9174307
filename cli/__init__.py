"""The command line. A command imports its packages when it runs, so that `tastefeed --help` answers at once."""

import signal

__all__ = ["main"]


def main() -> None:
    """Run the command line."""
    ctrl_c = signal.getsignal(signal.SIGINT)
    if ctrl_c is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)  # the imports below take a second, and have nothing to clean up
    from cli.command_line import main as run

    signal.signal(signal.SIGINT, ctrl_c)
    run()
