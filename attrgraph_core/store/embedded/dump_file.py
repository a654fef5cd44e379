"""Whether a dump of Neo4j was written to its end: four bytes `DZV1`, then frames of Zstandard (RFC 8878).

Frames are walked block by block, without unpacking them: each block says how long it is, and the last one that it is
the last. So a file that was cut short shows, whatever the program that wrote it said.
"""

import os
from pathlib import Path
from typing import IO

MAGIC = b"DZV1"
FRAME = 0xFD2FB528
SKIPPABLE_FRAMES = range(0x184D2A50, 0x184D2A60)
DICTIONARY_BYTES = (0, 1, 2, 4)
CONTENT_SIZE_BYTES = (0, 2, 4, 8)
REPEATED_BYTE, RESERVED = 1, 3  # kinds of blocks
CHECKSUM_BYTES = 4


def begins_as_dump(file: Path) -> bool:
    """Whether `file` begins as a dump does; Neo4j loads other kinds of archives, too."""
    with file.open("rb") as source:
        return source.read(len(MAGIC)) == MAGIC


def is_whole_dump(file: Path) -> bool:
    """Whether `file` begins as a dump does and every frame in it, at least one, ends."""
    with file.open("rb") as source:
        size = os.fstat(source.fileno()).st_size
        if source.read(len(MAGIC)) != MAGIC or source.tell() == size:
            return False
        try:
            while source.tell() < size:
                _skip_frame(source)
        except ValueError:
            return False
        return source.tell() == size  # beyond it where the last block is cut


def _skip_frame(source: IO[bytes]) -> None:
    magic = _number(source, 4)
    if magic in SKIPPABLE_FRAMES:
        source.seek(_number(source, 4), os.SEEK_CUR)
        return
    if magic != FRAME:
        raise ValueError("no frame begins here")
    about = _number(source, 1)
    is_single_segment, has_checksum = bool(about & 0x20), bool(about & 0x04)
    content_size = CONTENT_SIZE_BYTES[about >> 6] or int(is_single_segment)
    source.seek((not is_single_segment) + DICTIONARY_BYTES[about & 3] + content_size, os.SEEK_CUR)
    is_last = False
    while not is_last:
        header = _number(source, 3)
        is_last, kind, length = bool(header & 1), header >> 1 & 3, header >> 3
        if kind == RESERVED:
            raise ValueError("there is no such block")
        source.seek(1 if kind == REPEATED_BYTE else length, os.SEEK_CUR)
    source.seek(CHECKSUM_BYTES * has_checksum, os.SEEK_CUR)


def _number(source: IO[bytes], count: int) -> int:
    read = source.read(count)
    if len(read) < count:
        raise ValueError("the file ends in the middle")
    return int.from_bytes(read, "little")
