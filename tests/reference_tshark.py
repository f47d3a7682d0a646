"""tshark as the reference for the decoder: its fields in our columns, and where the two disagree.

python tests/reference_tshark.py FILE…    prints, per column, how many cells agree, differ, or only one side has
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd

ROOT = Path(__file__).parent.parent
TSHARK = shutil.which("tshark")

_FIELDS = [
    "frame.number",
    "frame.time_epoch",
    "frame.len",
    "frame.cap_len",
    "frame.protocols",
    "eth.src",
    "eth.dst",
    "sll.src.eth",
    "wlan.sa",
    "wlan.da",
    "wlan.ra",
    "wlan.ta",
    "vlan.id",
    "ip.src",
    "ip.dst",
    "ipv6.src",
    "ipv6.dst",
    "arp.src.proto_ipv4",
    "arp.dst.proto_ipv4",
    "arp.opcode",
    "ip.proto",
    "ip.ttl",
    "ipv6.hlim",
    "tcp.srcport",
    "tcp.dstport",
    "tcp.flags",
    "tcp.window_size_value",
    "tcp.len",
    "udp.srcport",
    "udp.dstport",
    "udp.length",
    "sctp.srcport",
    "sctp.dstport",
    "icmp.type",
    "icmp.code",
    "icmpv6.type",
    "icmpv6.code",
    "dns.qry.name",
    "dns.qry.type",
    "dns.flags.rcode",
    "tls.handshake.extensions_server_name",
    "ip.frag_offset",
    "ip.flags.mf",
    "ipv6.fraghdr.offset",
    "ipv6.fraghdr.more",
]
# one packet is one row with us: nothing put together from several
_ALONE = [
    "ip.defragment:FALSE",
    "ipv6.defragment:FALSE",
    "tcp.desegment_tcp_streams:FALSE",
    "sctp.reassembly:FALSE",
    "wlan.defragment:FALSE",
    "wlan.enable_decryption:FALSE",
    "tls.desegment_ssl_records:FALSE",
]
_EXTENSIONS = {"ipv6.hopopts", "ipv6.routing", "ipv6.fraghdr", "ipv6.dstopts", "ah", "mipv6", "shim6"}
_PROTOCOLS = {
    "tcp": "TCP",
    "udp": "UDP",
    "sctp": "SCTP",
    "icmp": "ICMP",
    "icmpv6": "ICMPv6",
    "igmp": "IGMP",
    "gre": "GRE",
}
_FLAGS = "FSRPAUECN"


def columns_of(path: Path, count: int = 0) -> pd.DataFrame:
    """What tshark says, in the columns of tables.PACKETS that it can be compared in, as text; "" where it says nothing.

    Transport columns are filled only where the transport header follows the first IP header, as we decode no inner one.
    """
    assert TSHARK
    command = [TSHARK, "-n", "-r", str(path), "-T", "fields", "-E", "separator=/t", "-E", "occurrence=f"]
    command += [word for option in _ALONE for word in ("-o", option)] + [w for f in _FIELDS for w in ("-e", f)]
    command += ["-c", str(count)] if count else []
    done = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)
    rows = [_row(dict(zip(_FIELDS, line.split("\t"), strict=False))) for line in done.stdout.splitlines()]
    return pd.DataFrame(rows, dtype="str").fillna("") if rows else pd.DataFrame()


def _row(f: dict[str, str]) -> dict[str, str]:
    layers = f["frame.protocols"].split(":")
    row = {"packet": f["frame.number"], "time": f["frame.time_epoch"], "length": f["frame.len"]}
    row |= {"captured": f["frame.cap_len"], "layers": f["frame.protocols"], "vlan": f["vlan.id"]}
    row["src_mac"] = f["eth.src"] or f["sll.src.eth"] or f["wlan.sa"] or f["wlan.ta"]
    row["dst_mac"] = f["eth.dst"] or f["wlan.da"] or f["wlan.ra"]
    network = next((layer for layer in layers if layer in ("ip", "ipv6", "arp")), "")
    row["network"] = {"ip": "IPv4", "ipv6": "IPv6", "arp": "ARP", "": ""}[network]
    if network == "arp":
        row |= {"src_ip": f["arp.src.proto_ipv4"], "dst_ip": f["arp.dst.proto_ipv4"], "arp_operation": f["arp.opcode"]}
    if network not in ("ip", "ipv6"):
        return row
    row |= {"src_ip": f[f"{network}.src"], "dst_ip": f[f"{network}.dst"]}
    row["ttl"] = f["ip.ttl"] if network == "ip" else f["ipv6.hlim"]
    above = [layer for layer in layers[layers.index(network) + 1 :] if layer not in _EXTENSIONS][:1]
    later = f["ip.frag_offset"] not in ("", "0") if network == "ip" else f["ipv6.fraghdr.offset"] not in ("", "0")
    more = f["ip.flags.mf"] == "1" if network == "ip" else f["ipv6.fraghdr.more"] == "1"
    row["fragment"] = "2" if later else "1" if more else "0"
    if not above:
        return row
    transport, rest = above[0], layers[layers.index(above[0]) + 1 :]
    row["protocol"] = _PROTOCOLS.get(transport, "")
    if transport in ("tcp", "udp", "sctp"):
        row |= {"src_port": f[f"{transport}.srcport"], "dst_port": f[f"{transport}.dstport"]}
    if transport == "tcp":
        bits = int(f["tcp.flags"], 16) & 0x1FF if f["tcp.flags"] else -1
        row["tcp_flags"] = "" if bits < 0 else "".join(c for i, c in enumerate(_FLAGS) if bits >> i & 1) or "-"
        row |= {"tcp_window": f["tcp.window_size_value"], "payload": f["tcp.len"]}
    elif transport == "udp" and not more and f["udp.length"]:
        row["payload"] = str(int(f["udp.length"]) - 8)
    elif transport in ("icmp", "icmpv6"):
        row |= {"icmp_type": f[f"{transport}.type"], "icmp_code": f[f"{transport}.code"]}
    if {"dns", "mdns", "llmnr"} & set(rest[:1]):
        row |= {"dns_query": f["dns.qry.name"], "dns_type": f["dns.qry.type"], "dns_rcode": f["dns.flags.rcode"]}
    if "tls" in rest[:1]:
        row["server_name"] = f["tls.handshake.extensions_server_name"]
    return {name: value.split(",")[0] for name, value in row.items()}


def text_of(ours: pd.DataFrame) -> pd.DataFrame:
    """Our table as text, "" where a cell is empty, and spelt as tshark spells."""
    words = pd.DataFrame(index=ours.index)
    for name in ours:
        column = ours[name]
        if name == "time":
            words[name] = [f"{t // 1_000_000_000}.{t % 1_000_000_000:09d}" for t in column]
        elif isinstance(column.dtype, pd.CategoricalDtype):
            words[name] = column.astype("str").fillna("")
        else:
            words[name] = column.astype("str").where(column != -1, "")
    for name in ("dns_query", "server_name"):
        words[name] = [re.sub(r"\\(\d{3})", lambda m: chr(int(m[1])), word) for word in words[name]]
    words["dns_query"] = words["dns_query"].where(words["dns_query"] != ".", "<root>")
    return words


def compare(ours: pd.DataFrame, theirs: pd.DataFrame) -> pd.DataFrame:
    """Per column: cells that agree, that differ, and that only we or only they have (rows paired by number)."""
    words = text_of(ours).set_index("packet")
    theirs = theirs.set_index("packet")
    both = words.index.intersection(theirs.index)
    counts = {}
    for name in words.columns.intersection(theirs.columns):
        a, b = words.loc[both, name], theirs.loc[both, name].fillna("")
        if name in ("dns_query", "server_name"):  # tshark writes bytes that are no text as it can
            a, b = (side.str.lower().str.replace(r"([^\x00-\x7f]|\\u[0-9a-f]{4})+", "?", regex=True) for side in (a, b))
        have = (a != "") & (b != "")
        counts[name] = {
            "agree": int((have & (a == b)).sum()),
            "differ": int((have & (a != b)).sum()),
            "only_ours": int(((a != "") & (b == "")).sum()),
            "only_tshark": int(((a == "") & (b != "")).sum()),
        }
    return pd.DataFrame(counts).T


def main(paths: list[str]) -> None:
    sys.path.insert(0, str(ROOT))
    from netnormal import inputs, tables

    total = pd.DataFrame()
    for path in paths:
        try:
            blocks = list(inputs.packet_blocks(path))
        except tables.InputError as error:
            print(error)
            continue
        theirs = columns_of(Path(path))
        ours = tables.concat(blocks) if blocks else tables.empty(tables.PACKETS)
        if len(ours) != len(theirs):
            print(f"{path}: {len(ours)} packets, tshark {len(theirs)}")
        if not len(ours) or not len(theirs):
            continue
        counts = compare(ours, theirs)
        total = counts.add(total, fill_value=0)
        if (bad := counts[counts.differ > 0]).size:
            print(f"{path}\n{bad.to_string()}")
    print(total.astype(int).to_string())


if __name__ == "__main__":
    main(sys.argv[1:])
