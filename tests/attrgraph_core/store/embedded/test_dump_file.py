from pathlib import Path

import pytest

from attrgraph_core.store.embedded.dump_file import is_whole_dump

WHOLE = Path(__file__).with_name("schema_001.dump")
RAW_BLOCK, REPEATED_BYTE, LAST = 0, 1 << 1, 1
FRAME = bytes.fromhex("28b52ffd")


def block(kind: int, length: int) -> bytes:
    return (length << 3 | kind).to_bytes(3, "little")


def test_a_dump_is_whole_and_no_beginning_of_it_is(tmp_path):
    assert is_whole_dump(WHOLE)
    content = WHOLE.read_bytes()
    file = tmp_path / "cut.dump"
    for length in [*range(0, len(content), 101), len(content) - 5, len(content) - 1]:
        file.write_bytes(content[:length])
        assert not is_whole_dump(file), length
    file.write_bytes(content + b"more")
    assert not is_whole_dump(file)


@pytest.mark.parametrize(
    ("frames", "is_whole"),
    [
        # no checksum, one segment, so the size of the content in one byte
        (FRAME + b"\x20\x07" + block(RAW_BLOCK, 2) + b"ab" + block(REPEATED_BYTE | LAST, 5) + b"c", True),
        (FRAME + b"\x20\x07" + block(RAW_BLOCK, 2) + b"ab", False),
        # a checksum of four bytes and a window
        (FRAME + b"\x04\x58" + block(RAW_BLOCK | LAST, 1) + b"a" + b"\0" * 4, True),
        (FRAME + b"\x04\x58" + block(RAW_BLOCK | LAST, 1) + b"a" + b"\0" * 3, False),
        # a frame that readers skip, of three bytes, before one that they read
        (bytes.fromhex("502a4d18") + b"\3\0\0\0abc" + FRAME + b"\x00\x58" + block(RAW_BLOCK | LAST, 0), True),
        (FRAME + b"\x00\x58" + block(RAW_BLOCK | LAST, 0) + FRAME, False),
        (FRAME + b"\x00\x58" + block(3 << 1 | LAST, 0), False),
    ],
)
def test_frames_by_hand(tmp_path, frames, is_whole):
    (tmp_path / "some.dump").write_bytes(b"DZV1" + frames)
    assert is_whole_dump(tmp_path / "some.dump") is is_whole
