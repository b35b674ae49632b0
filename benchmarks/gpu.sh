#!/usr/bin/env bash
# What needs a GPU, in under eight minutes: the Triton kernel's tests, a captured CUDA graph among them, and step times.
# Run in a checkout with PyTorch for CUDA; results go to the folder named, or to ./gpu.
set -uo pipefail
cd "$(dirname "$0")/.."
out=${1:-gpu}
mkdir -p "$out"
python -m pytest -q tests/gradpower/test_kernel_triton.py tests/gradpower/test_torch_patterns.py 2>&1 | tee "$out/tests.txt"
python -m gradpower step-time --device cuda --tensors 10 300 --output "$out" --json > "$out/step_time.stdout.json"
