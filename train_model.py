"""Stage 2: feature table → model of what is normal.

Reads   dataset/features.csv           (docs/schemas.md#features), traffic to call normal: the baseline
        dataset/feedback.csv           verdicts on incidents, if there are any: the rows of benign ones join the
                                       calibration, those of malicious ones never do
Writes  models/isolation_forest.pkl    one Isolation Forest per window length, with baseline and calibration
        models/model_card.json         the same for people: what it was trained on, and what it can promise

The later part of the baseline is held out in turn to calibrate the scores, and the threshold follows from
`alert_budget_per_day` in params.yaml. An attack in the baseline becomes part of what is normal, so train on traffic you
trust; more hours make a better model than more packets. A baseline too short for a forest still makes a model, which
finds named patterns only, and says so.
"""

from __future__ import annotations

import argparse

import numpy as np

from netnormal import feedback, model, stage, tables


def main(args: argparse.Namespace) -> str:
    table = tables.read(args.input, tables.FEATURES)
    if table.empty:
        raise tables.InputError(args.input, "has no rows", "give a capture with packets to  python capture.py")
    benign, incidents, other = feedback.benign_rows(args.feedback, optional=args.feedback == feedback.FILE)
    with stage.workers(args):
        made = model.Model.fit(table, args.settings.train_model, args.jobs, benign)
    model.save(made, args.output)
    for window_s, why in made.left_out.items():
        stage.log.warning("No model for windows of %s s: %s.", window_s, why)
    if incidents:
        joined = int(benign["window_s"].isin(list(made.windows)).sum())
        words = "%s of %s rows of %s found benign (%s) joined the calibration"
        said = f"{joined:,}", f"{len(benign):,}", f"{incidents:,} incident{'s' * (incidents > 1)}", args.feedback
        stage.log.warning(words, *said)
    if other:
        stage.log.warning("%s more found benign are of a version with other features, and do not join", f"{other:,}")
    stage.log.warning("Note: %s.", made.promise())
    if warning := made.warning():
        stage.log.warning("Note: %s.", warning)
    rows = sum(part.rows for part in made.windows.values())
    lengths = f"in windows of {' and '.join(map(str, made.windows))} s" if made.windows else "too few for a forest"
    span = np.timedelta64(made.end - made.start, "ns") / np.timedelta64(1, "m")
    return (
        f"{len(table):,} rows over {span:,.1f} minutes; learnt from {rows:,} conversations, {lengths} → {args.output} "
        f"(readable: {model.card_path(args.output)})"
    )


def arguments() -> argparse.ArgumentParser:
    parser = stage.parser(__doc__)
    parser.add_argument(
        "--input", default="dataset/features.csv", metavar="CSV", help="features (default: %(default)s)"
    )
    parser.add_argument(
        "--feedback", default=feedback.FILE, metavar="CSV", help="verdicts on incidents (default: %(default)s)"
    )
    parser.add_argument("--output", default="models/isolation_forest.pkl", metavar="PKL", help="default: %(default)s")
    return parser


if __name__ == "__main__":
    stage.run(main, arguments())
