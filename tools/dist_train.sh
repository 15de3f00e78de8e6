#!/usr/bin/env bash
# Train with several processes of one or more machines.
# usage: tools/dist_train.sh CONFIG NUM_PROCESSES [flags of tools/train.py]
# environment: NNODES, NODE_RANK, MASTER_ADDR, PORT for more than one machine
set -euo pipefail
[ $# -ge 2 ] || { sed -n '2,4s/^# //p' "$0" >&2; exit 2; }
config=$1 processes=$2
shift 2
torchrun --nnodes "${NNODES:-1}" --node_rank "${NODE_RANK:-0}" --master_addr "${MASTER_ADDR:-127.0.0.1}" \
    --master_port "${PORT:-29500}" --nproc_per_node "$processes" \
    "$(dirname "$0")/train.py" "$config" --launcher pytorch "$@"
