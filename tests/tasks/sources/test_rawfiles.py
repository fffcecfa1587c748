"""Packed raw files: the bytes that were packed, or a refusal that says what to do."""

import gzip
import io
import random
import zipfile

import pyarrow as pa
import pytest

from rlrec.errors import InputError
from tasks.sources.catalogue.bundles import BUNDLES
from tasks.sources.obtain import find_bundle
from tasks.sources.rawfiles import open_raw

CONTENT = random.Random(0).randbytes(1 << 16).hex().encode()
LOCAL, CENTRAL = b"PK\x03\x04", b"PK\x01\x02"  # where a zip tells of its file, twice
FLAGS, METHOD = 6, 8  # bytes after the start of the first; two more after that of the second
ENCRYPTED, UNKNOWN_METHOD = 1, 97


def zipped(content: bytes = CONTENT, method: int = zipfile.ZIP_DEFLATED) -> bytes:
    """A zip of one file that claims a path of its own."""
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", method) as archive:
        archive.writestr("../../log.csv", content)
    return target.getvalue()


def marked(archive: bytes, place: int, value: int) -> bytes:
    """The zip with another byte in both of its headers."""
    changed = bytearray(archive)
    changed[archive.index(LOCAL) + place] = changed[archive.index(CENTRAL) + place + 2] = value
    return bytes(changed)


def holed(packed: bytes) -> bytes:
    """The same with zeros in the middle."""
    middle = len(packed) // 2
    return packed[:middle] + bytes(64) + packed[middle + 64 :]


ZST = pa.compress(CONTENT, "zstd", asbytes=True)
PACKED = {"csv": CONTENT, "gz": gzip.compress(CONTENT), "zst": ZST, "zip": zipped()}
DAMAGED = {
    "holed.gz": (holed(PACKED["gz"]), "damaged"),
    "cut.gz": (PACKED["gz"][:-9], "damaged"),
    "odd.zst": (b"no frame", "damaged"),
    "cut.zst": (ZST[: len(ZST) // 2], "damaged"),
    "more.zst": (ZST + b"no frame", "damaged"),
    "holed.zip": (holed(zipped()), "damaged"),
    "cut.zip": (zipped()[:-9], "damaged"),
    "stored.zip": (holed(zipped(method=zipfile.ZIP_STORED)), "damaged"),
    "lzma.zip": (holed(zipped(method=zipfile.ZIP_LZMA)), "damaged"),
    "bzip2.zip": (holed(zipped(method=zipfile.ZIP_BZIP2)), "cannot be read"),
    "locked.zip": (marked(zipped(), FLAGS, ENCRYPTED), "encrypted"),
    "odd.zip": (marked(zipped(), METHOD, UNKNOWN_METHOD), "compression method is not supported"),
}


@pytest.mark.parametrize("ending", PACKED)
def test_packed_bytes_come_back(tmp_path, ending):
    file = tmp_path / f"log.{ending}"
    file.write_bytes(PACKED[ending])
    with open_raw(file) as stream:
        assert stream.read() == CONTENT
    assert list(tmp_path.iterdir()) == [file]  # whatever path the archive claims


def test_several_zstd_frames_are_one_file(tmp_path):
    (tmp_path / "log.zst").write_bytes(ZST + ZST)
    with open_raw(tmp_path / "log.zst") as stream:
        assert stream.read() == CONTENT + CONTENT


@pytest.mark.parametrize("name", DAMAGED)
def test_what_is_damaged_is_refused(tmp_path, name):
    content, said = DAMAGED[name]
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=said) as refusal, open_raw(tmp_path / name) as stream:
        stream.read()
    assert refusal.value.file == str(tmp_path / name)
    assert refusal.value.remedy


@pytest.mark.parametrize("name", sorted(BUNDLES))
def test_a_folder_without_a_source_files_is_refused(tmp_path, name):
    with pytest.raises(InputError, match=f"no file .*of {name}") as refusal:
        find_bundle(name, tmp_path)
    assert refusal.value.remedy
