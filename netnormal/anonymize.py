"""Captures that can be shared: addresses become keyed pseudonyms, and only known header fields are kept.

IP addresses by Crypto-PAn (Xu, Fan, Ammar, Moon: Prefix-Preserving IP Address Anonymization, ICNP 2002): two that share
their first k bits share the first k bits of their pseudonyms. As they are stay 0.0.0.0, 255.255.255.255, IPv4
multicast, `::` and the permanent IPv6 groups (RFC 4291); an address whose pseudonym would be one of these is mapped
again. Hardware addresses: AES of the address, locally administered; broadcast, zero and IP multicast stay.
"""

from __future__ import annotations

import hashlib
import hmac
import logging
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from netnormal.frames import Frames
from netnormal.kernels import anonymize as kernels
from netnormal.tables import InputError

KEY_BYTES = 32
_REMEMBERED = 1 << 18  # pseudonyms of each kind kept; they never differ when made again
_AT_ONCE = 4096  # addresses encrypted in one call: 2 KiB of blocks each
_MAKE_ONE = "make one with  head -c 32 /dev/urandom > key"
_log = logging.getLogger("netnormal")


def read_key(path: str) -> bytes:
    """The key in a file of 32 bytes, or of 64 hexadecimal digits. Raises InputError if there is none."""
    try:
        with Path(path).open("rb") as file:
            content = file.read(1024)
            mode = os.fstat(file.fileno()).st_mode
    except OSError as error:
        raise InputError(path, f"cannot be read as a key ({error.strerror})", _MAKE_ONE) from error
    if os.name == "posix" and mode & 0o077:
        _log.warning("%s: others may read this key; chmod 600 it", path)
    if len(content) == KEY_BYTES:
        return content
    try:
        key = bytes.fromhex(content.decode("ascii"))
    except ValueError:
        key = b""
    if len(key) != KEY_BYTES:
        raise InputError(path, "is no key of 32 bytes or 64 hexadecimal digits", _MAKE_ONE)
    return key


class Anonymizer:
    """The same key gives the same pseudonyms. unknown: frames so far whose link type is not known: all of it was cut.

    Addresses are uint8[n, 4] (IPv4), [n, 16] (IPv6) or [n, 6] (hardware).
    """

    def __init__(self, key: bytes) -> None:
        if len(key) != KEY_BYTES:
            raise ValueError(f"a key of {len(key)} bytes")
        self._aes = Cipher(algorithms.AES(key[:16]), modes.ECB()).encryptor()
        self._pad = np.frombuffer(self._aes.update(key[16:]), np.uint8)
        other = hmac.digest(key, b"netnormal hardware addresses", hashlib.sha256)
        self._other = Cipher(algorithms.AES(other), modes.ECB()).encryptor()
        self._remembered: dict[int, dict[bytes, bytes]] = {4: {}, 6: {}, 16: {}}
        self._maps: dict[int, Callable[[np.ndarray], np.ndarray]] = {4: self._ip, 16: self._ip, 6: self._hardware}
        self.unknown = 0

    def crypto_pan(self, addresses: np.ndarray) -> np.ndarray:
        """Crypto-PAn of IPv4 or IPv6 addresses, all of them."""
        parts = [self._prefixes(addresses[at : at + _AT_ONCE]) for at in range(0, len(addresses), _AT_ONCE)]
        return np.concatenate([addresses[:0], *parts])

    def _prefixes(self, addresses: np.ndarray) -> np.ndarray:
        n, size = addresses.shape
        ones = np.packbits(np.tri(8 * size, k=-1, dtype=np.uint8), axis=1)  # row k: the first k bits
        blocks = np.broadcast_to(self._pad, (n, 8 * size, 16)).copy()
        blocks[:, :, :size] = (addresses[:, None, :] & ones) | (self._pad[:size] & ~ones)
        done = np.frombuffer(self._aes.update(blocks.tobytes()), np.uint8).reshape(blocks.shape)
        return addresses ^ np.packbits(done[:, :, 0] >> 7, axis=1)

    def _encrypted(self, kind: int, values: np.ndarray) -> np.ndarray:
        """uint8[n, 16]: AES of `values` (at most 15 bytes each); different kinds have nothing in common."""
        blocks = np.zeros((len(values), 16), np.uint8)
        blocks[:, 0], blocks[:, 1 : 1 + values.shape[1]] = kind, values
        return np.frombuffer(self._other.update(blocks.tobytes()), np.uint8).reshape(blocks.shape)

    def _ip(self, addresses: np.ndarray) -> np.ndarray:
        made, left = addresses.copy(), ~_special(addresses)
        while left.any():
            made[left] = self.crypto_pan(made[left])
            left &= _special(made)
        if addresses.shape[1] == 16:
            neighbours = (addresses[:, :13] == _SOLICITED).all(axis=1)
            made[neighbours, 13:] = self._encrypted(1, addresses[neighbours, 13:])[:, :3]
            group = (addresses[:, 0] == 0xFF) & (addresses[:, 1] >> 4 != 0)  # may hold a prefix (RFC 3306)
            made[group, 2:] = self._encrypted(2, addresses[group, 1:])[:, :14]
        return made

    def _hardware(self, addresses: np.ndarray) -> np.ndarray:
        made = self._encrypted(3, addresses)[:, :6].copy()
        made[:, 0] = made[:, 0] & 0xFC | 2 | addresses[:, 0] & 1
        kept = (addresses == 0xFF).all(axis=1) | (addresses == 0).all(axis=1)
        kept |= (addresses[:, :3] == (1, 0, 0x5E)).all(axis=1) | (addresses[:, :2] == 0x33).all(axis=1)
        made[kept] = addresses[kept]
        neighbours = (addresses[:, :3] == (0x33, 0x33, 0xFF)).all(axis=1)  # end as the group's address does
        made[neighbours, 3:] = self._encrypted(1, addresses[neighbours, 3:])[:, :3]
        return made

    def mapped(self, addresses: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The pseudonyms of the different addresses, and which of them each address has."""
        n, size = addresses.shape
        values = pa.FixedSizeBinaryArray.from_buffers(pa.binary(size), n, [None, pa.py_buffer(addresses)])
        encoded = values.dictionary_encode()
        words, known = encoded.dictionary.to_pylist(), self._remembered[size]
        fresh = [word for word in words if word not in known]
        if len(known) + len(fresh) > _REMEMBERED:
            known.clear()
            fresh = words
        if fresh:
            made = self._maps[size](np.frombuffer(b"".join(fresh), np.uint8).reshape(-1, size))
            known.update(zip(fresh, (row.tobytes() for row in made), strict=True))
        pseudonyms = np.frombuffer(b"".join(known[word] for word in words), np.uint8).reshape(-1, size)
        return pseudonyms, encoded.indices.to_numpy().astype(np.int64)

    def frames(self, block: Frames) -> Frames:
        """The frames without payload, options and checksums but IPv4's, under pseudonyms; lengths on the wire stay."""
        n = len(block)
        to, kept = np.cumsum(block.captured) - block.captured, np.zeros(n, np.int64)
        out = np.zeros(int(block.captured.sum()), np.uint8)
        places, count = np.empty((4, 4 * n), np.int64), np.zeros(4, np.int64)
        self.unknown += kernels.headers(
            block.data, block.offset, block.captured, block.length, block.link_type, out, to, kept, places, count
        )
        for kind, size in enumerate((6, 4, 16)):
            here = places[kind, : count[kind]]
            addresses = np.empty((len(here), size), np.uint8)
            kernels.take(out, here, addresses)
            kernels.put(out, here, *self.mapped(addresses))
        kernels.checksums(out, places[3, : count[3]])
        return Frames(out, to, kept, block.length, block.time, block.link_type)


_SOLICITED = np.frombuffer(bytes.fromhex("ff0200000000000000000001ff"), np.uint8)


def _special(addresses: np.ndarray) -> np.ndarray:
    """bool[n]: addresses that name no one host, and stay."""
    if addresses.shape[1] == 16:
        return (addresses[:, 0] == 0xFF) | (addresses == 0).all(axis=1)
    return (addresses[:, 0] >> 4 == 14) | (addresses == 0).all(axis=1) | (addresses == 0xFF).all(axis=1)


class Anonymized:
    """A source of frames (frames.FileSource, live.LiveSource) that passes on anonymised ones, and hides its names."""

    def __init__(self, source: Any, key: bytes) -> None:
        self._source, self._by = source, Anonymizer(key)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._source, name)

    @property
    def problems(self) -> list[str]:
        cut = self._by.unknown
        more = [f"{cut:,} packets have a link type that cannot be anonymised: nothing is left of them"] if cut else []
        return [*self._source.problems, *more]

    def prepare(self) -> None:
        """Compile the kernels now."""
        none = np.zeros(0, np.int64)
        self._by.frames(Frames(np.zeros(0, np.uint8), none, none, none, none, none.astype(np.int32)))
        self._source.prepare()

    def about(self) -> dict[str, Any]:
        """For the manifest: neither the name and checksum of a file, nor a filter, which may hold addresses."""
        about = self._source.about() | {"anonymized": True}
        if about["format"] != "live":
            about |= {"source": "an anonymised capture file", "sha256": None}
        if about["filter"]:
            about["filter"] = "(hidden)"
        return about

    def __iter__(self) -> Iterator[Frames]:
        return map(self._by.frames, self._source)
