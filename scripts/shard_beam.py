"""Packs a corpus into shards by an Apache Beam pipeline; extra `beam`.

    python scripts/shard_beam.py data/big/train.jsonl --config big.yaml --out s3://bucket/shards --parts 64 \
        --runner=FlinkRunner --flink_master=host:8081

What is no argument of this program goes to Beam; without a runner it runs here. The workers need speechgru[train,beam],
and must see the manifests, the recordings and the output folder.
"""

import argparse
import sys
from pathlib import Path

from speechgru.config.load import load_config
from speechgru.config.sections import RunConfig
from speechgru.errors import UserError
from speechgru.shards.beam import shard_by_beam


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("manifests", nargs="+", type=Path)
    parser.add_argument("--out", required=True, help="folder, or address on a store")
    parser.add_argument("--config", type=Path, help="the configuration that the shards are meant for")
    parser.add_argument("--parts", type=int, default=16, help="elements of the pipeline")
    parser.add_argument("--form", default="samples", choices=["samples", "features"])
    parser.add_argument("--shard-megabytes", type=float, default=128.0)
    arguments, options = parser.parse_known_args()
    try:
        summary = shard_by_beam(
            arguments.manifests,
            arguments.out,
            config=load_config(arguments.config) if arguments.config else RunConfig(),
            num_parts=arguments.parts,
            form=arguments.form,
            shard_megabytes=arguments.shard_megabytes,
            options=options,
        )
    except UserError as error:
        print(error, file=sys.stderr)
        sys.exit(2)
    print(f"{summary.out}: {summary.num_records:,} utterances in {summary.num_shards} shards")


if __name__ == "__main__":
    main()
