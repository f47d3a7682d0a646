"""Capture filters: pcap-filter(7) text → a classic BPF program that the kernel runs (libpcap translates)."""

from __future__ import annotations

import ctypes
import ctypes.util
import socket
import struct
from functools import cache
from typing import Any

from netnormal.tables import InputError

_SO_ATTACH_FILTER = 26
_RETURN_CONSTANT = 0x06
_AD, _AD_PROTOCOL, _AD_PACKET_TYPE = 0xFFFFF000, 0, 4  # linux/filter.h: where the kernel keeps what it took off
Program = list[tuple[int, int, int, int]]  # code, jump if true, jump if false, constant


class _Bpf(ctypes.Structure):
    _fields_ = (("length", ctypes.c_uint), ("code", ctypes.c_void_p))


@cache
def _libpcap() -> Any:
    for name in ("libpcap.so.1", "libpcap.so.0.8", None):
        try:
            library = ctypes.CDLL(name or ctypes.util.find_library("pcap") or "libpcap.so")
        except OSError:
            continue
        library.pcap_open_live.restype = ctypes.c_void_p
        library.pcap_geterr.restype = ctypes.c_char_p
        library.pcap_geterr.argtypes = library.pcap_close.argtypes = [ctypes.c_void_p]
        library.pcap_compile.argtypes = [
            ctypes.c_void_p,
            ctypes.POINTER(_Bpf),
            ctypes.c_char_p,
            ctypes.c_int,
            ctypes.c_uint32,
        ]
        return library
    raise InputError("--filter", "libpcap is missing, which translates it", "install libpcap")


def everything(snaplen: int) -> Program:
    """Takes each packet, up to `snaplen` bytes of it."""
    return [(_RETURN_CONSTANT, 0, 0, snaplen)]


def nothing() -> Program:
    """Takes no packet."""
    return everything(0)


def translated(expression: str, interface: str, snaplen: int, cooked: bool) -> Program:
    """The program for packets of `interface`. cooked: they come without link header, as `any` has them.

    libpcap is asked with the interface open: only so does it know that the kernel takes VLAN tags off, and where from.
    Needs the right to capture. Raises InputError with libpcap's own words if the expression is wrong.
    """
    library, said, program = _libpcap(), ctypes.create_string_buffer(256), _Bpf()
    handle = library.pcap_open_live(interface.encode(), snaplen, 0, 100, said)
    if not handle:
        raise InputError(f"interface {interface}", f"cannot be opened ({said.value.decode()})", "choose another")
    try:
        if library.pcap_compile(handle, ctypes.byref(program), expression.encode(), 1, 0xFFFFFFFF):
            reason = library.pcap_geterr(handle).decode("utf-8", "replace")
            raise InputError(f"--filter {expression!r}", reason, "see  man pcap-filter")
        raw = ctypes.string_at(program.code, 8 * program.length)
        library.pcap_freecode(ctypes.byref(program))
    finally:
        library.pcap_close(handle)
    found: Program = []
    for code, right, wrong, constant in struct.iter_unpack("HBBI", raw):
        if code == _RETURN_CONSTANT:
            constant = min(constant, snaplen)  # noqa: PLW2901
        elif cooked and code & 7 in (0, 1) and code & 0xE0 in (0x20, 0x40, 0xA0):  # it loads from the packet
            constant = _moved(constant, expression)  # noqa: PLW2901
        found.append((code, right, wrong, constant))
    return found


def _moved(offset: int, expression: str) -> int:
    """An offset into a packet with LINKTYPE_LINUX_SLL's header as one into the packet without."""
    if offset >= _AD:
        return offset
    if offset >= 16:
        return offset - 16
    if offset in (0, 14):
        return _AD + (_AD_PACKET_TYPE if offset == 0 else _AD_PROTOCOL)
    raise InputError(f"--filter {expression!r}", "asks for link addresses, which `any` has not", "name an interface")


def attach(sock: socket.socket, program: Program) -> None:
    """From now on `sock` gets only what `program` takes."""
    code = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *one) for one in program))
    sock.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, struct.pack("HP", len(program), ctypes.addressof(code)))
