"""Damage to a file, by the structure of its format: numbers of headers, order of parts, checksums made good again."""

from __future__ import annotations

import re
import struct
import zlib

import numpy as np

HEAD = 1024  # bytes in which most of the damage is done: there the headers are
EXTREMES = (0, 1, -1, 2, 7, 255, 256, 2**15 - 1, 2**15, 2**16 - 1, 2**16, 10900, 2**31 - 1, 2**31, 2**32 - 1, 2**63 - 1,
            2**63)  # fmt: skip
WORDS = (
    b"0",
    b"-1",
    b"1",
    b"7",
    b"65536",
    b"2147483647",
    b"4294967296",
    b"99999999999999999999",
    b"nan",
    b"1e999",
    b"",
)
# name of a good file, what to look for in it, how far from there, and the byte that is put there: each did harm once
FOUND = (
    ("grown.h5", b"BTHD", 0, 0xFF),  # the process crashed
    ("grown.h5", b"BTHD", 10, 0),
    ("grown.h5", b"BTHD", 35, 0xFF),
)
PNG = b"\x89PNG\r\n\x1a\n"


def damaged(data: bytes, random: np.random.Generator, suffix: str, other: bytes) -> bytes:
    """`data` after one to four kinds of damage; parts of `other`, a file of the same format, may get into it."""
    made = bytearray(data)
    for _ in range(int(random.integers(1, 5))):
        if not made:
            break
        KINDS[int(random.integers(len(KINDS)))](made, random, other)
    return mended(bytes(made), suffix) if random.random() < 0.7 else bytes(made)


def once_found(known: dict[str, bytes], index: int) -> tuple[str, bytes]:
    """The name and the bytes of a case that was found before."""
    name, mark, further, value = FOUND[index]
    data = bytearray(known[name])
    data[data.index(mark) + further] = value
    return name, bytes(data)


def place(made: bytearray, random: np.random.Generator) -> int:
    """Somewhere, rather in the head."""
    end = min(HEAD, len(made)) if random.random() < 0.7 else len(made)
    return int(random.integers(end))


def bit(made: bytearray, random: np.random.Generator, _: bytes) -> None:
    made[place(made, random)] ^= 1 << int(random.integers(8))


def byte(made: bytearray, random: np.random.Generator, _: bytes) -> None:
    made[place(made, random)] = int(random.choice([0, 255, random.integers(256)]))


def number(made: bytearray, random: np.random.Generator, _: bytes) -> None:
    """A number of 2, 4 or 8 bytes, mostly at a place where headers have them, set to an extreme or moved a little."""
    size = int(random.choice([2, 4, 4, 8]))
    at = place(made, random)
    at -= at % 2 if random.random() < 0.8 else 0
    order = "little" if random.random() < 0.6 else "big"
    if random.random() < 0.3:
        value = int.from_bytes(made[at : at + size], order) + int(random.integers(-3, 4))
    else:
        value = EXTREMES[int(random.integers(len(EXTREMES)))]
    made[at : at + size] = (value % 2 ** (8 * size)).to_bytes(size, order)


def real(made: bytearray, random: np.random.Generator, _: bytes) -> None:
    at = place(made, random)
    form = str(random.choice(["<f", ">f", "<d", ">d"]))
    value = float(random.choice([0.0, -1.0, 1e-30, 1e30, np.inf, np.nan]))
    made[at : at + struct.calcsize(form)] = struct.pack(form, value)


def word(made: bytearray, random: np.random.Generator, _: bytes) -> None:
    """A number that is written out, as in headers that are text."""
    found = [m.span() for m in re.finditer(rb"\d+(?:\.\d+)?", bytes(made[: 2 * HEAD]))]
    if found:
        start, end = found[int(random.integers(len(found)))]
        made[start:end] = WORDS[int(random.integers(len(WORDS)))]


def cut(made: bytearray, random: np.random.Generator, _: bytes) -> None:
    del made[place(made, random) if random.random() < 0.3 else int(random.integers(len(made))) :]


def doubled(made: bytearray, random: np.random.Generator, _: bytes) -> None:
    at = place(made, random)
    made[at:at] = made[at : at + int(random.integers(1, 64))] * int(random.integers(1, 4))


def left_out(made: bytearray, random: np.random.Generator, _: bytes) -> None:
    at = place(made, random)
    del made[at : at + int(random.integers(1, 64))]


def swapped(made: bytearray, random: np.random.Generator, _: bytes) -> None:
    size = int(random.choice([4, 8, 16, 64]))
    one, two = sorted((place(made, random), place(made, random)))
    if one + size <= two:
        made[one : one + size], made[two : two + size] = made[two : two + size], made[one : one + size]


def spliced(made: bytearray, random: np.random.Generator, other: bytes) -> None:
    if other:
        at = int(random.integers(len(other)))
        size = int(random.integers(1, 256))
        made[at : at + size] = other[at : at + size]


def noise(made: bytearray, random: np.random.Generator, _: bytes) -> None:
    at, size = place(made, random), int(random.integers(1, 33))
    made[at : at + size] = random.bytes(len(made[at : at + size]))


KINDS = (bit, byte, number, number, number, real, word, cut, doubled, left_out, swapped, spliced, noise)


def mended(data: bytes, suffix: str) -> bytes:
    """Checksums that would give the damage away set right."""
    if suffix == ".png":
        return png_mended(data)
    if suffix == ".ibw" and len(data) > 384:
        total = int(np.frombuffer(data[:2] + b"\0\0" + data[4:384], "<i2").sum(dtype=np.int64))
        return data[:2] + struct.pack("<H", -total & 0xFFFF) + data[4:]
    return data


def png_mended(data: bytes) -> bytes:
    parts, at = [data[:8]], 8
    while data.startswith(PNG) and at + 12 <= len(data):
        (length,) = struct.unpack_from(">I", data, at)
        end = at + 8 + length
        if end + 4 > len(data):
            break
        parts += [data[at:end], struct.pack(">I", zlib.crc32(data[at + 4 : end]))]
        at = end + 4
    return b"".join([*parts, data[at:]])
