#!/bin/bash
# Workers as a Slurm array: eight of them, one GPU each, until no study is left to serve.
#
# export TUNEWELL_URL=http://login-node:8700 TUNEWELL_TOKEN=tw_...      # a token of role worker
# sbatch --export=ALL slurm-workers.sh
#SBATCH --job-name=tunewell-worker
#SBATCH --array=1-8
#SBATCH --gres=gpu:1
#SBATCH --cpus-per-task=4
#SBATCH --mem=16G
#SBATCH --time=12:00:00
# Two minutes before its time is over the worker is told to drain: without B: only steps of srun would be.
#SBATCH --signal=B:TERM@120
#SBATCH --requeue

set -euo pipefail

: "${TUNEWELL_URL:?the address of the service}"
: "${TUNEWELL_TOKEN:?a token of role worker}"

# Reports that wait for the service outlive the node if this folder is shared.
export TUNEWELL_STATE_DIR="${TUNEWELL_STATE_DIR:-$HOME/tunewell-state}/${SLURM_ARRAY_JOB_ID:-0}-${SLURM_ARRAY_TASK_ID:-0}"
mkdir -p "$TUNEWELL_STATE_DIR"

exec tunewell worker run --exit-when-idle --devices auto \
    --name "slurm-${SLURM_ARRAY_JOB_ID:-0}-${SLURM_ARRAY_TASK_ID:-0}" \
    --labels "cluster=slurm" --labels "node=${SLURMD_NODENAME:-$(hostname)}"
