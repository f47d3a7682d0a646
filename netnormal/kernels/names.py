"""Names inside packets: the first DNS question, the server name of a TLS ClientHello, and how they are spelt."""

import numpy as np
from numba import njit


@njit(cache=True, nogil=True)
def _u16(d, at):
    return np.int64(d[at]) << 8 | np.int64(d[at + 1])


@njit(cache=True, nogil=True)
def _plain(byte, dot):
    """Whether a byte is spelt as itself, capitals as small letters: a letter, a digit, - or _, a dot if `dot`."""
    if byte == 46:
        return dot
    return 97 <= byte <= 122 or 65 <= byte <= 90 or 48 <= byte <= 57 or byte in (45, 95)


@njit(cache=True, nogil=True)
def _spelt_size(d, at, size, dot):
    total = 0
    for k in range(at, at + size):
        total += 1 if _plain(d[k], dot) else 4
    return total


@njit(cache=True, nogil=True)
def _question(d, at, end):
    """The end of the name at `at`, and the size of its spelling; (-1, 0) if it is cut, too long or compressed.

    Nothing stands before the first question that it could point to: compression there is damage (RFC 1035, 4.1.4).
    """
    begin, total = at, 0
    while at < end:
        size = np.int64(d[at])
        if size == 0:
            return at + 1, max(total - 1, 1)
        if size > 63 or at + 1 + size >= end or at + 1 + size - begin > 254:
            return -1, 0
        total += _spelt_size(d, at + 1, size, False) + 1
        at += 1 + size
    return -1, 0


@njit(cache=True, nogil=True)
def questions(d, begin, end, strict, kind, rcode, at, size):
    """RFC 1035: of the messages d[begin:end], the response code, and where the first question's name is, and its type.

    strict: of each, whether the bytes may be no DNS at all (the middle of a TCP stream): then exactly one question of a
    known class must be there. kind, rcode, at, size (of the name's spelling): int64[n], filled where there is one.
    """
    for k in range(begin.size):
        start, stop = begin[k], end[k]
        if stop - start < 12:
            continue
        flags, count = _u16(d, start + 2), _u16(d, start + 4)
        if count > 0:
            after, spelt = _question(d, start + 12, stop)
            if after >= 0 and stop - after >= 4:
                known = _u16(d, after + 2) & 0x7FFF in (1, 3, 4, 254, 255)
                if not strict[k] or (count == 1 and known):
                    kind[k], at[k], size[k] = _u16(d, after), start + 12, spelt
        if flags & 0x8000 and (at[k] >= 0 or not strict[k]):
            rcode[k] = flags & 15


@njit(cache=True, nogil=True)
def server_names(d, begin, ends, at, size):
    """RFC 8446, RFC 6066: where the host name is in the TLS ClientHellos d[begin:ends], each of 48 bytes or more.

    at, size (of the name's spelling): int64[n], filled where there is one.
    """
    for k in range(begin.size):
        p = begin[k]
        end = min(ends[k], p + 5 + _u16(d, p + 3))  # the record's length, then the message's
        end = min(end, p + 9 + (np.int64(d[p + 6]) << 16 | _u16(d, p + 7)))
        p += 9 + 2 + 32
        if end - p >= 1:
            p += 1 + np.int64(d[p])  # session identifier
        if end - p >= 2:
            p += 2 + _u16(d, p)  # cipher suites
        if end - p >= 1:
            p += 1 + np.int64(d[p]) + 2  # compression methods, length of the extensions
        while end - p >= 4:
            extension, length = _u16(d, p), _u16(d, p + 2)
            p += 4
            if extension == 0:
                if end - p >= 5 and d[p + 2] == 0:
                    name = _u16(d, p + 3)
                    if 0 < name <= 255 and 5 + name <= length and p + 5 + name <= end:
                        at[k], size[k] = p + 5, _spelt_size(d, p + 5, name, True)
                break
            p += length


@njit(cache=True, nogil=True)
def _spell(d, at, size, dot, into, where):
    for k in range(at, at + size):
        byte = d[k]
        if _plain(byte, dot):
            into[where] = byte + 32 if 65 <= byte <= 90 else byte
            where += 1
        else:  # \DDD, RFC 4343
            into[where] = 92
            into[where + 1] = 48 + byte // 100
            into[where + 2] = 48 + byte // 10 % 10
            into[where + 3] = 48 + byte % 10
            where += 4
    return where


@njit(cache=True, nogil=True)
def spell(d, begin, labels, into):
    """Write the spelling of the names at `begin` one after the other into the bytes `into`.

    labels: they are DNS names, else TLS host names, whose size stands in the two bytes before them.
    """
    where = 0
    for k in range(begin.size):
        at = begin[k]
        if not labels:
            where = _spell(d, at, _u16(d, at - 2), True, into, where)
            continue
        if d[at] == 0:
            into[where] = 46  # the root
            where += 1
        while d[at] != 0:
            size = np.int64(d[at])
            where = _spell(d, at + 1, size, False, into, where)
            at += 1 + size
            if d[at] != 0:
                into[where] = 46
                where += 1
