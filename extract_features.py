"""Stage 1: packet table → feature table.

Reads   dataset/captured_data.csv   (docs/schemas.md#captured_data), a capture file, or a folder of them
Writes  dataset/features.csv        (docs/schemas.md#features), one row per conversation and window
"""

from __future__ import annotations

import argparse

from netnormal import inputs, stage, tables
from netnormal.features import Windower, features_of


def main(args: argparse.Namespace) -> str:
    windower = Windower(args.settings.extract_features)
    with stage.workers(args), tables.writer(args.output, tables.FEATURES) as out:
        for block in stage.progress(inputs.packet_blocks(args.input), "extracting features", args):
            out.append(features_of(windower.push(block)))
        out.append(features_of(windower.flush()))
    return f"{windower.packets:,} packets, {windower.late:,} late → {out.rows:,} rows in {args.output}"


if __name__ == "__main__":
    parser = stage.parser(__doc__)
    parser.add_argument(
        "--input",
        default="dataset/captured_data.csv",
        metavar="FILE",
        help="packet table (.csv), capture file (.pcap, .pcapng), .gz of them, or a folder (default: %(default)s)",
    )
    parser.add_argument(
        "--output", default="dataset/features.csv", metavar="FILE", help="feature table (default: %(default)s)"
    )
    stage.run(main, parser)
