#!/usr/bin/env bash
# Runs the benchmarks one after the other and prints their tables; `make bench`.
# Name some (control, accuracy, features, trials, serving, script, hpo, toolkit) to run only those. Photos
# come from MUSHER_SHARED; what needs them says so where they are missing.
set -euo pipefail
cd "$(dirname "$0")/.."

export MUSHER_ONNXRUNTIME=${MUSHER_ONNXRUNTIME:-$(bin/musher fetch onnxruntime)}
bin/musher fetch >/dev/null # libraries and weights: nothing is measured that waits for a download

# accuracy is the demo on the two sets of dogs: its best model on the test photos.
accuracy() {
	local state
	state=$(mktemp -d)
	for set in dogs-mini dogs-full; do
		echo "$set"
		bin/musher demo --state "$state" --data "${MUSHER_SHARED:-../shared}/data/$set" 2>/dev/null | grep -A1 '^Test accuracy' || return 1
	done
	rm -rf "$state"
}

failed=0
[ $# -gt 0 ] || set -- control accuracy features trials serving script hpo toolkit
for name in "$@"; do
	printf '\n### %s\n\n' "$name"
	if [ "$name" = accuracy ]; then
		accuracy || failed=1
		continue
	fi
	args=()
	if [ "$name" = trials ] && [ -n "${MUSHER_TORCH_PYTHON:-}" ]; then
		args=(-python "$MUSHER_TORCH_PYTHON")
	fi
	go run "./bench/$name" "${args[@]}" || failed=1
done
exit $failed
