"""One base class and a few named errors. A message states the problem, the value and the remedy."""

import errno
import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager


class TastefeedError(Exception):
    """Base of all errors of tastefeed; the command line prints the message on one line and exits with status 1."""


class SchemaMismatch(TastefeedError):
    """A table does not have the columns or types that the contract names."""


class BadId(TastefeedError):
    """A value that is not a valid id (`contracts.ids`)."""


class UnreadableInput(TastefeedError):
    """An input file cannot be read in its format."""


class BadMapping(TastefeedError):
    """A mapping of column or action names that does not fit the contract."""


class BadSetting(TastefeedError):
    """A setting with an invalid value."""


class TooManyBadRows(TastefeedError):
    """More rows break the contract than the night accepts; the last release keeps serving."""


class OutlierDay(TastefeedError):
    """The last day with an event is unlike all days before it, and no day was asked for."""


class LakeMissing(TastefeedError):
    """The named lake does not exist."""


class MissingPartition(TastefeedError):
    """A table has no partition for the requested day."""


class NightRunning(TastefeedError):
    """Another night is running on the lake."""


class NightFailed(TastefeedError):
    """A stage of the night ended in an error; the last release keeps serving."""


class AirflowFailed(TastefeedError):
    """One of Airflow's servers does not start, or ends by itself."""


class UnknownOptOut(TastefeedError):
    """A subject type or flag that is not in the contract."""


class OptOutStoreUnavailable(TastefeedError):
    """The opt-out store cannot be read; callers must treat every user as opted out."""


class ReleaseMissing(TastefeedError):
    """The release does not exist, or none has been published."""


class ReleaseCorrupt(TastefeedError):
    """A release's files do not match its manifest."""


class ReleaseNotProfiled(TastefeedError):
    """A release without models cannot rank items for a user."""


class GateRefused(TastefeedError):
    """A release fails a gate; the previous release keeps serving."""


class ChampionAbsent(TastefeedError):
    """The serving release cannot be evaluated on the held-out days of this night."""


class UnsafeBinding(TastefeedError):
    """The server must not listen beyond loopback without API keys."""


class PortUnavailable(TastefeedError):
    """The server cannot listen on the port."""


class BadEvaluationInput(TastefeedError):
    """Lists, labels or times for which no metric can be computed."""


class EventStoreUnavailable(TastefeedError):
    """The store of posted events cannot be read or written."""


class PublishRunning(TastefeedError):
    """Another process is publishing, scrubbing or rolling back a release."""


class UntrainableInput(TastefeedError):
    """A model cannot be trained from these examples or earlier weights. `controls` are lines with the settings that
    decide, where the raiser has counted what is missing."""

    def __init__(self, message: str, controls: Sequence[str] = ()) -> None:
        """The message, and the lines."""
        super().__init__(message)
        self.controls = tuple(controls)


class UncontinuableModel(UntrainableInput):
    """The weights of an earlier model do not fit the data; a model of the same kind can be trained anew."""


class UnknownEncoder(TastefeedError):
    """A step of the two-tower lacks a case for an encoder."""


class JavaMissing(TastefeedError):
    """No installed Java fits Spark."""


class NaiveTime(TastefeedError):
    """An instant without a time zone is ambiguous."""


class DataMissing(TastefeedError):
    """The data of a benchmark is not in the given folder."""


class PeerFailed(TastefeedError):
    """A peer could not learn: its own process has ended, or its steps led nowhere."""


class ToolMissing(TastefeedError):
    """A program that a benchmark starts is not installed."""


class ServerNotReady(TastefeedError):
    """A server that a benchmark started never answered."""


class LoadFailed(TastefeedError):
    """A server under load answered with an error, or not at all."""


class UnknownMethod(TastefeedError):
    """A benchmark was asked for a method or a setting that it does not have."""


class UnknownRun(TastefeedError):
    """A tracking store holds no such run, or more than one."""


class NotComparable(TastefeedError):
    """Two runs that did not answer one question, or a run that keeps nothing to compare."""


FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
FORBIDDEN = (errno.EROFS, errno.EACCES, errno.EPERM)
LASTING = (*FULL, *FORBIDDEN, errno.ENOTDIR, errno.EISDIR)
"""Errors that a retry cannot resolve."""
REMEDIES = {
    **dict.fromkeys(FULL, "free some space there, or choose another place (--lake, --out)"),
    **dict.fromkeys(FORBIDDEN, "let this user write there, or choose another place (--lake, --out)"),
    errno.ENOTDIR: "a part of the path is a file; name a folder",
    errno.EISDIR: "it is a folder; name a file",
    errno.EEXIST: "it is there already, as something else; name another path or move it away",
    errno.ENOENT: "check the path",
    errno.EMFILE: "raise the limit of open files (ulimit -n)",
    errno.ENOMEM: "give the process more memory",
}
FULL_TEMPORARY = "free some space there, or choose another folder for temporary files (the variable TMPDIR)"
WORDS = {os.strerror(number): number for number in REMEDIES} | {"database or disk is full": errno.ENOSPC}
"""The words of errors without a number; the last are those of SQLite."""


def number_of(error: OSError) -> int | None:
    """The number of an error. That of a copied folder, and those of some libraries, have it in their text alone."""
    return _number_in(str(error)) if error.errno is None else error.errno


def _number_in(text: str) -> int | None:
    return next((number for words, number in WORDS.items() if words in text), None)


@contextmanager
def full_disk_as_os_error() -> Iterator[None]:
    """Within this block a full disk is an `OSError` with the words of the library that found it: Spark, SQLite, FAISS
    and safetensors raise errors of their own."""
    try:
        yield
    except (OSError, TastefeedError):
        raise
    except Exception as error:
        found = ((_number_in(line), line.strip()) for line in str(error).splitlines())
        number, words = next((each for each in found if each[0] in FULL), (None, ""))
        if number is None:
            raise
        raise OSError(number, words) from error


def one_line(error: OSError) -> str:
    """Path, cause and remedy on one line; for an unknown kind of error its own text."""
    number = number_of(error)
    remedy = FULL_TEMPORARY if number in FULL and _is_temporary(_place(error)) else REMEDIES.get(number or 0, "")
    return f"{_cause(error)}{'; ' if remedy else ''}{remedy}"


def _cause(error: OSError) -> str:
    if isinstance(error, shutil.Error) and error.args and isinstance(error.args[0], list):
        _, target, why = error.args[0][0]
        return f"{target}: {why}; {len(error.args[0])} files could not be copied"
    if error.errno is None:
        return str(error)
    place = _place(error)
    return f"{place}: {os.strerror(error.errno)}" if place else error.strerror or os.strerror(error.errno)


def _place(error: OSError) -> str:
    place = error.filename2 if error.errno in FULL and error.filename2 else error.filename  # of a copy: the new file
    return os.fsdecode(place) if isinstance(place, str | bytes) else ""


def _is_temporary(place: str) -> bool:
    """Whether it is below a temporary folder of this process."""
    folder = tempfile.tempdir  # not `gettempdir()`, which fails where every candidate is full
    return folder is not None and place.startswith(os.path.join(os.fsdecode(folder), tempfile.gettempprefix()))
