"""SIGTERM and Ctrl-C end a command within seconds and leave no child process.

The handler raises `Stopped` in the main thread, so that the blocks of the command clean up. A library may catch it, or
install a handler of its own: Airflow does both. So a thread reads every signal from a socket to which Python writes it
under any handler. It repeats a signal that such a handler took, and ends a process that is still there after `GRACE_S`.
"""

import logging
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Any, NoReturn

GRACE_S = 4.0
"""How long a command may clean up."""
CHILD_GRACE_S = 2.0
"""How long its child processes may, before they are killed."""
LAST_WORK_S = 2.0
"""How long the work of `called_if_stopped` may take."""
ENDING = (signal.SIGINT, signal.SIGTERM)
STDERR = 2


_BEGINS = threading.RLock()


class Stopped(BaseException):
    """A signal asked the command to end."""

    def __init__(self, number: int) -> None:
        """The number of the signal."""
        super().__init__(signal.Signals(number).name)
        self.status = 128 + number


class _State:
    """The first signal that arrived, and the socket that signals are written to."""

    first: int | None = None
    sender: socket.socket | None = None
    handlers_before: dict[signal.Signals, Any] = {}  # noqa: RUF012  replaced as a whole
    last_work: tuple[Callable[[], object], ...] = ()


def stopping() -> bool:
    """Whether a signal asked this process to end."""
    return _State.first is not None


def end_if_stopped() -> None:
    """End this process at once if a signal asked it to: where code in between catches every exception."""
    if _State.first is not None:
        end_process(Stopped(_State.first).status)


@contextmanager
def ending_at_signals() -> Iterator[None]:
    """Within this block, SIGTERM and Ctrl-C raise `Stopped` in the main thread, and end the process soon after.

    A signal that the process was started to ignore stays ignored. Another thread than the main one changes nothing.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    _State.handlers_before = {number: signal.getsignal(number) for number in ENDING}
    receiver, _State.sender = socket.socketpair()
    _State.sender.setblocking(False)
    signal.set_wakeup_fd(_State.sender.fileno(), warn_on_full_buffer=False)
    for number, handler in _State.handlers_before.items():
        if handler is not signal.SIG_IGN:
            signal.signal(number, _raise_stopped)
    threading.Thread(target=_watch, args=[receiver], name="stop-signals", daemon=True).start()
    try:
        yield
    finally:
        if not stopping():
            leave_signals()


@contextmanager
def called_if_stopped(work: Callable[[], object]) -> Iterator[None]:
    """Within this block, a signal that ends the process calls `work` at the end, and waits for it for `LAST_WORK_S`."""
    _State.last_work = (*_State.last_work, work)
    try:
        yield
    finally:
        if not stopping():
            _State.last_work = tuple(each for each in _State.last_work if each is not work)


def leave_signals() -> None:
    """Restore the handlers: a server has its own, and sends itself the signal again once it has ended."""
    if _State.sender is not None:
        for number, handler in _State.handlers_before.items():
            signal.signal(number, handler)
        signal.set_wakeup_fd(-1)
        _State.sender.close()  # ends the thread
        _State.sender = None


def end_process(status: int) -> NoReturn:
    """End this process and its children at once."""
    _do_last_work()
    _end_children()
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError):
            stream.flush()
    os._exit(status)


def _do_last_work() -> None:
    """Call what the blocks around asked for, in a thread: a database or a server may not answer."""
    works, _State.last_work = _State.last_work if stopping() else (), ()
    threads = [threading.Thread(target=work, name="last-work", daemon=True) for work in works]
    for thread in threads:
        thread.start()
    deadline = time.monotonic() + LAST_WORK_S
    for thread in threads:
        thread.join(max(0.0, deadline - time.monotonic()))


def _end_children() -> None:
    import psutil  # noqa: PLC0415  a command that is not stopped does without

    children = psutil.Process().children(recursive=True)
    for child in children:
        with suppress(psutil.NoSuchProcess):
            child.terminate()
    for child in psutil.wait_procs(children, timeout=CHILD_GRACE_S)[1]:
        with suppress(psutil.NoSuchProcess):
            child.kill()


def _raise_stopped(number: int, _frame: FrameType | None) -> NoReturn:
    first = _begin(number)
    _silence_libraries()
    raise Stopped(first)


def _silence_libraries() -> None:
    """SQLAlchemy logs the exception that interrupts it, and Python the one that it drops in a destructor.

    For the main thread alone: an interrupted call may hold the lock of `logging`, and `_watch` must not wait for it.
    """
    logging.disable()
    sys.unraisablehook = lambda _: None


def _begin(number: int) -> int:
    """Record and report the first signal, which decides the exit status. The handler or the thread may be first."""
    with _BEGINS:
        if _State.first is None:
            _State.first = number
            line = f"tastefeed: stopped by {Stopped(number)}; nothing half-written counts, run the command again\n"
            os.write(STDERR, line.encode())  # `print` may be interrupted here
    return _State.first


def _watch(receiver: socket.socket) -> None:
    with receiver:
        while received := receiver.recv(1):
            if received[0] in ENDING:
                _end(received[0], receiver)


def _end(number: int, receiver: socket.socket) -> NoReturn:
    stop = Stopped(_begin(number))
    if signal.getsignal(number) is not _raise_stopped:
        _repeat()
    deadline = time.monotonic() + GRACE_S
    with suppress(TimeoutError):
        while (left := deadline - time.monotonic()) > 0:
            receiver.settimeout(left)
            if receiver.recv(1) in (b"", bytes([number])):  # a second signal ends the process at once
                break
    end_process(stop.status)


def _repeat() -> None:
    """Interrupt the main thread, whose handler of the signal is not ours."""
    taken = next((number for number in ENDING if signal.getsignal(number) is _raise_stopped), None)
    if taken is not None:
        signal.pthread_kill(threading.main_thread().ident or 0, taken)


def _forget_in_child() -> None:
    """A forked child must not write its signals to the socket of its parent."""
    if _State.sender is not None:
        signal.set_wakeup_fd(-1)
        for number in ENDING:
            if signal.getsignal(number) is _raise_stopped:
                signal.signal(number, signal.SIG_DFL)


os.register_at_fork(after_in_child=_forget_in_child)
