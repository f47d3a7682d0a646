"""Live interfaces as a source of blocks of raw frames, and what was lost on the way. Knows no header field of a frame.

On Linux the kernel's memory-mapped ring (`ring`); elsewhere, or where it is asked for, libpcap through scapy.
"""

from netnormal.live import interfaces, rights
from netnormal.live.source import LiveSource

__all__ = ["LiveSource", "interfaces", "rights"]
