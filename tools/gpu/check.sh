#!/bin/bash
# Runs every check on this machine's GPU in at most 8 minutes and writes all output to the folder $OUT.
#
#   OUT=FOLDER [GPU_PYTHON=python3] tools/gpu/check.sh [--rehearse]
#
# --rehearse uses the simulated device instead of a GPU. Exit status 0: all essential steps passed.
set -eu
cd "$(dirname "$0")/../.."
export OUT="${OUT:-$PWD/build/gpu-check}"
exec "${GPU_PYTHON:-python3}" -m tools.gpu.check "$@"
