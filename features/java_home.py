"""Which Java Spark is started with."""

import os
import re
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path

from contracts.errors import JavaMissing

SUPPORTED = (17, 21)
"""Java releases that Spark 4.3 is run with here."""

_PLACES = (
    (Path("/usr/lib/jvm"), "*"),
    (Path("/opt"), "*jdk*"),
    (Path("/Library/Java/JavaVirtualMachines"), "*/Contents/Home"),
    (Path.home() / ".sdkman/candidates/java", "*"),
)


def java_home(homes: Iterable[Path] | None = None) -> Path:
    """The first Java home that Spark can run with: JAVA_HOME, `java` on the PATH, then the usual places.

    Raises `JavaMissing`, naming what was found instead and how to mend it.
    """
    found = {home: java_version(home) for home in (usual_homes() if homes is None else homes)}
    for home, version in found.items():
        if version in SUPPORTED:
            return home
    unfit = ", ".join(f"Java {version} in {home}" for home, version in found.items() if version) or "no Java at all"
    raise JavaMissing(
        f"Spark needs Java {' or '.join(map(str, SUPPORTED))}, found {unfit}; install one "
        "(Debian: apt-get install openjdk-17-jre-headless) or point JAVA_HOME at it"
    )


def usual_homes() -> Iterator[Path]:
    """Where a Java may be, the best guess first."""
    if home := os.environ.get("JAVA_HOME"):
        yield Path(home)
    if java := shutil.which("java"):
        yield Path(java).resolve().parents[1]
    for folder, pattern in _PLACES:
        yield from sorted(folder.glob(pattern))


def java_version(home: Path) -> int | None:
    """The feature release (17 for 17.0.15) that a Java home's `release` file names; None where it is no Java home."""
    try:
        release = (home / "release").read_text()
    except OSError:
        return None
    version = re.search(r'^JAVA_VERSION="(\d+)', release, re.MULTILINE)
    return int(version[1]) if version and (home / "bin" / "java").exists() else None
