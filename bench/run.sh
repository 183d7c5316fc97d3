#!/usr/bin/env bash
# Runs the benchmarks one after the other and prints their tables; `make bench`.
# Name some (control, features, trials, serving, hpo) to run only those. Photos
# come from MUSHER_SHARED; what needs them says so where they are missing.
set -euo pipefail
cd "$(dirname "$0")/.."

export MUSHER_ONNXRUNTIME=${MUSHER_ONNXRUNTIME:-$(bin/musher fetch onnxruntime)}
bin/musher fetch >/dev/null # libraries and weights: nothing is measured that waits for a download

failed=0
[ $# -gt 0 ] || set -- control features trials serving hpo
for name in "$@"; do
	printf '\n### %s\n\n' "$name"
	args=()
	if [ "$name" = trials ] && [ -n "${MUSHER_TORCH_PYTHON:-}" ]; then
		args=(-python "$MUSHER_TORCH_PYTHON")
	fi
	go run "./bench/$name" "${args[@]}" || failed=1
done
exit $failed
