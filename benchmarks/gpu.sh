#!/usr/bin/env bash
# The first minutes on a GPU, in one command; see benchmarks/gpu.py. Where results travel, `--out "$OUT/gpu.json"`, and
# from the second start on, `--known` with what has come back.
set -euo pipefail
cd "$(dirname "$0")/.."
if compgen -G ".gpu/wheels/*.whl" >/dev/null; then # what the host lacks: python -m benchmarks.gpu_wheels
    python3 -m pip install --quiet --no-index --no-deps --no-compile --upgrade --target .gpu/site .gpu/wheels/*.whl
    export PYTHONPATH=$PWD/.gpu/site${PYTHONPATH:+:$PYTHONPATH}
fi
exec python3 -m benchmarks.gpu "$@"
