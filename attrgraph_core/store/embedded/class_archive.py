"""An archive of Neo4j's loaded classes, which lets the Java machine start it in 4 instead of 6.5 seconds.

The first start notes the classes it loads; then `python -m attrgraph_core.store.embedded.class_archive` archives them
in the background, once per set of jar files, at the lowest priority (20 seconds of one core, 115 MB in the cache). Java
ignores an archive that is missing, broken or of other jars, so nothing depends on it.
"""

import hashlib
import os
import subprocess
import sys
from pathlib import Path

from filelock import FileLock, Timeout

LONGEST_LINE = 4000  # Java refuses a class list with longer lines, which it writes itself


def archive_path(cache: Path, java: Path, class_path: str) -> Path:
    """Where the archive of these jars under this Java is kept."""
    release = (java.parent.parent / "release").read_bytes()
    digest = hashlib.sha256(release + class_path.encode()).hexdigest()[:16]
    return cache / "classes" / f"{digest}.jsa"


def make_archive(java: Path, class_path: str, class_list: Path, archive: Path) -> None:
    """Archive the classes of `class_list`; does nothing when another process is at it or has done it."""
    archive.parent.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(archive.with_suffix(".lock"), blocking=False):
            if archive.exists():
                return
            lines = class_list.read_text(encoding="utf-8").splitlines(keepends=True)
            usable = archive.with_suffix(".classes")
            # The server still writes to its list, so the last line may be half a line.
            usable.write_text("".join(line for line in lines if line.endswith("\n") and len(line) < LONGEST_LINE))
            part = archive.with_suffix(".part")
            part.unlink(missing_ok=True)
            command = [str(java), "-Xmx1g", "-Xshare:dump", f"-XX:SharedClassListFile={usable}"]
            command += [f"-XX:SharedArchiveFile={part}", "-cp", class_path]
            subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, check=False, timeout=600)
            usable.unlink()
            if part.exists():
                os.replace(part, archive)
    except Timeout:
        return


def make_archive_in_background(java: Path, class_path: str, class_list: Path, archive: Path) -> None:
    """Start `make_archive` in a process of its own, which outlives this one."""
    arguments = [str(java), class_path, str(class_list), str(archive)]
    null = os.open(os.devnull, os.O_RDWR)
    try:
        os.posix_spawn(
            sys.executable,
            [sys.executable, "-m", "attrgraph_core.store.embedded.class_archive", *arguments],
            os.environ,
            file_actions=[(os.POSIX_SPAWN_DUP2, null, descriptor) for descriptor in (0, 1, 2)],
            setsid=True,
        )
    finally:
        os.close(null)


if __name__ == "__main__":
    os.nice(19)
    make_archive(Path(sys.argv[1]), sys.argv[2], Path(sys.argv[3]), Path(sys.argv[4]))
