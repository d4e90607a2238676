#!/usr/bin/env bash
# Measurements that need a GPU, in at most 9 minutes; each result is written to OUT immediately.
#
#   benchmarks/on_gpu.sh --imdb DIR --base DIR --out OUT
#       measures half precision, imdb-small with three seeds, and transformers.Trainer
#   benchmarks/on_gpu.sh distil --imdb DIR --sst5 DIR --base DIR --teacher-base DIR --out OUT
#       trains the released model: teachers, their probabilities, students; the same command
#       resumes after an interruption
#
# imdb: train.parquet, test.parquet and, for distil, unsupervised.parquet; sst5: train.parquet,
# dev.parquet, test.parquet; base: MiniLM-L6; teacher-base: MPNet-base. The variables PYTHON and
# LIMIT_SECONDS override the interpreter and the time limit.
set -euo pipefail
repository=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
python=$repository/.venv/bin/python
[ -x "$python" ] || python=python3
module=on_gpu
if [ "${1:-}" = distil ]; then
  module=distil
  shift
fi
export PYTHONPATH=$repository${PYTHONPATH:+:$PYTHONPATH} PYTHONUNBUFFERED=1
# Ends the whole process group at the limit.
exec timeout --kill-after=10 "${LIMIT_SECONDS:-530}" "${PYTHON:-$python}" -m "benchmarks.$module" "$@"
