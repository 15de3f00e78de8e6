#!/usr/bin/env bash
# Train on a Slurm cluster.
# usage: tools/slurm_train.sh PARTITION JOB_NAME CONFIG [flags of tools/train.py]
# environment: NNODES (1), GPUS_PER_NODE (8), GPUS (all of them), CPUS_PER_TASK (5), SRUN_ARGS;
#   MASTER_ADDR (the first node) and MASTER_PORT (29500). Slurm numbers the nodes, so that there is no NODE_RANK.
set -euo pipefail
[ $# -ge 3 ] || { sed -n '2,5s/^# //p' "$0" >&2; exit 2; }
partition=$1 job_name=$2
shift 2
per_node=${GPUS_PER_NODE:-8}
gpus=${GPUS:-$((${NNODES:-1} * per_node))}
# shellcheck disable=SC2086
srun --partition="$partition" --job-name="$job_name" ${NNODES:+--nodes="$NNODES"} --gres="gpu:$per_node" \
    --ntasks="$gpus" --ntasks-per-node="$per_node" --cpus-per-task="${CPUS_PER_TASK:-5}" --kill-on-bad-exit=1 \
    ${SRUN_ARGS:-} python -u "$(dirname "$0")/train.py" "$@" --launcher slurm
