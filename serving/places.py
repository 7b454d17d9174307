"""Where the server finds its things, from `Settings`: the settings' own URLs, else files in the lake's folder."""

from pathlib import Path

from contracts import Settings
from contracts.errors import LakeMissing


def lake_folder(settings: Settings) -> Path:
    """The lake's local folder; where the lake is remote, `lake` beside the working directory."""
    local = settings.lake.removeprefix("file://")
    return Path("lake" if "://" in local else local).absolute()


def existing_lake_folder(settings: Settings) -> Path:
    """The lake's local folder. Raises `LakeMissing` where there is none: asking for a lake does not make one."""
    folder = lake_folder(settings)
    if not folder.is_dir():
        what = "is a file, not a lake" if folder.exists() else "no such lake"
        raise LakeMissing(f"{folder}: {what}; check --lake, or make one with `tastefeed import --events FILE`")
    return folder


def release_root(settings: Settings) -> Path:
    """The folder of releases; always local, for its pointer is switched by renaming."""
    return lake_folder(settings) / "releases"


def opt_out_url(settings: Settings) -> str:
    """The opt-out store."""
    return settings.opt_out_url or f"sqlite:///{lake_folder(settings)}/opt_outs.db"


def events_url(settings: Settings) -> str:
    """The store of posted events."""
    return settings.events_url or f"sqlite:///{lake_folder(settings)}/pending_events.db"
