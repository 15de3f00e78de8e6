#!/usr/bin/env bash
# Test with several processes of one or more machines.
# usage: tools/dist_test.sh CONFIG CHECKPOINT NUM_PROCESSES [flags of tools/test.py]
# environment: NNODES, NODE_RANK, MASTER_ADDR, PORT for more than one machine
set -euo pipefail
[ $# -ge 3 ] || { sed -n '2,4s/^# //p' "$0" >&2; exit 2; }
config=$1 checkpoint=$2 processes=$3
shift 3
torchrun --nnodes "${NNODES:-1}" --node_rank "${NODE_RANK:-0}" --master_addr "${MASTER_ADDR:-127.0.0.1}" \
    --master_port "${PORT:-29500}" --nproc_per_node "$processes" \
    "$(dirname "$0")/test.py" "$config" "$checkpoint" --launcher pytorch "$@"
