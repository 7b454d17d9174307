"""One base class, a few named kinds. A message says what, with which value, and what to do next."""

import errno
import os
import shutil


class TastefeedError(Exception):
    """Anything tastefeed refuses to do; the command line prints its message on one line and exits with 1."""


class SchemaMismatch(TastefeedError):
    """A table does not have the columns or types that the contract names."""


class BadId(TastefeedError):
    """A value that is no id (`contracts.ids`)."""


class UnreadableInput(TastefeedError):
    """A file that was handed in cannot be read as what it claims to be."""


class BadMapping(TastefeedError):
    """Names of columns or actions that cannot be mapped to the contract's."""


class BadSetting(TastefeedError):
    """A setting whose value means nothing."""


class TooManyBadRows(TastefeedError):
    """More rows break the contract than the night accepts; the last release keeps serving."""


class OutlierDay(TastefeedError):
    """The last day with an event is unlike all days before it, and no day was asked for."""


class LakeMissing(TastefeedError):
    """There is no lake where one was named."""


class MissingPartition(TastefeedError):
    """A table has no partition for the asked day."""


class NightRunning(TastefeedError):
    """Another night holds the lake."""


class NightFailed(TastefeedError):
    """A stage of the night ended in an error; the last release keeps serving."""


class UnknownOptOut(TastefeedError):
    """A subject type or flag that the contract does not know."""


class OptOutStoreUnavailable(TastefeedError):
    """The opt-out store cannot be read; whoever asks must act as if everyone had opted out."""


class ReleaseMissing(TastefeedError):
    """No such release, or none at all."""


class ReleaseCorrupt(TastefeedError):
    """A release's files do not match its manifest."""


class ReleaseNotProfiled(TastefeedError):
    """A release that holds no model was asked to rank for one user."""


class GateRefused(TastefeedError):
    """A release is worse than what it must beat; the old one keeps serving."""


class ChampionAbsent(TastefeedError):
    """The release that serves cannot be measured on tonight's held-out days."""


class UnsafeBinding(TastefeedError):
    """The server was asked to listen beyond loopback without keys."""


class BadEvaluationInput(TastefeedError):
    """Lists, labels or times that no metric can be computed on."""


class EventStoreUnavailable(TastefeedError):
    """The store of events that no night has landed yet cannot be read or written."""


class PublishRunning(TastefeedError):
    """Another process is publishing, scrubbing or rolling back a release."""


class UntrainableInput(TastefeedError):
    """Examples or earlier weights that no model can be trained from."""


class JavaMissing(TastefeedError):
    """Spark needs a Java that this machine does not have."""


class NaiveTime(TastefeedError):
    """An instant without a timezone: nobody knows which moment it is."""


class DataMissing(TastefeedError):
    """A benchmark's data is not where it was said to be."""


class PeerFailed(TastefeedError):
    """A peer could not learn: its own process has ended, or its steps led nowhere."""


class UnknownMethod(TastefeedError):
    """A benchmark was asked for a method or a setting that it does not have."""


class UnknownRun(TastefeedError):
    """A tracking store holds no such run, or more than one."""


class NotComparable(TastefeedError):
    """Two runs that did not answer one question, or a run that keeps nothing to compare."""


FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
FORBIDDEN = (errno.EROFS, errno.EACCES, errno.EPERM)
LASTING = (*FULL, *FORBIDDEN, errno.ENOTDIR, errno.EISDIR)
"""What trying again does not mend."""
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


def one_line(error: OSError) -> str:
    """Path, cause and remedy; for an error of an unknown kind what it says itself."""
    if isinstance(error, shutil.Error) and error.args and isinstance(error.args[0], list):
        _, target, why = error.args[0][0]
        return f"{target}: {why}; {len(error.args[0])} files could not be copied"
    if error.errno is None:
        return str(error)
    where = f"{os.fsdecode(error.filename)}: " if isinstance(error.filename, str | bytes) else ""
    remedy = REMEDIES.get(error.errno, "")
    return f"{where}{os.strerror(error.errno)}{'; ' if remedy else ''}{remedy}"
