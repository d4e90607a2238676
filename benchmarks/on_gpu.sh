#!/usr/bin/env bash
# What needs a GPU, in at most 9 minutes; every result is in the folder OUT as soon as it is known.
#
#   benchmarks/on_gpu.sh --imdb DIR --base DIR --out OUT
#       measures: half precision, imdb-small with three seeds, transformers.Trainer beside ours
#   benchmarks/on_gpu.sh distil --imdb DIR --sst5 DIR --base DIR --teacher-base DIR --out OUT
#       makes the released model: teachers, their probabilities, students; the same command again
#       continues what was stopped
#
# imdb: train.parquet, test.parquet and, for distil, unsupervised.parquet; sst5: train.parquet,
# dev.parquet, test.parquet; base: MiniLM-L6; teacher-base: MPNet-base. The environment
# may name the interpreter, PYTHON, and another limit, LIMIT_SECONDS.
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
# Ends the whole group of processes.
exec timeout --kill-after=10 "${LIMIT_SECONDS:-530}" "${PYTHON:-$python}" -m "benchmarks.$module" "$@"
