#!/bin/sh
# Runs one step: the awk program of that name, with its parameters, into a directory of its own.
#
#     sh scripts/step.sh STEP TARGET [NAME=VALUE ...] < input.json > result.json
#
# TARGET is the step's main file. What the program writes appears beside it when the program has succeeded, each file
# by a rename, so that a reader never sees half a file and a second run of the step replaces the first.
# On standard output comes the step's result: path, size and checksum of the main file, and what the program says.

set -eu
LC_ALL=C
export LC_ALL

step=$1
target=$2
shift 2

scripts=$(dirname "$0")
output=$(dirname "$target")

# The program finds its parameters in its environment. These two are the last keys of the input, after everything a
# person could have put there.
input=$(cat)
step_attempt=$(printf '%s' "$input" | sed -n 's/.*"attempt": *\([0-9][0-9]*\).*/\1/p')
step_idempotency_key=$(printf '%s' "$input" | sed -n 's/.*"idempotency_key": *"\([^"]*\)".*/\1/p')
step_target=$target
step_output=$output
export step_attempt step_idempotency_key step_target step_output
for parameter in "$@"; do
    export "step_$parameter"
done

if [ "${step_pause_seconds:-0}" -gt 0 ]; then
    sleep "$step_pause_seconds"
fi

mkdir -p "$output"
# What a killed run of this step left behind.
for stale in "$output/.$step."*; do
    if [ -d "$stale" ] && ! kill -0 "${stale##*.}" 2>/dev/null; then
        rm -rf "$stale"
    fi
done
step_work=$output/.$step.$$
export step_work
trap 'rm -rf "$step_work"' EXIT
trap 'exit 143' TERM
trap 'exit 130' INT
mkdir "$step_work"

said=$(awk -f "$scripts/lib.awk" -f "$scripts/$step.awk")

main=$step_work/$(basename "$target")
# shellcheck disable=SC2046 # The two numbers are two words.
set -- $(cksum <"$main")
checksum=$1
bytes=$2
for file in "$step_work"/*; do
    mv -f "$file" "$output/"
done

path=$(printf '%s' "$target" | sed 's/[\\"]/\\&/g')
printf '{"path": "%s", "bytes": %s, "checksum": %s%s}\n' "$path" "$bytes" "$checksum" "${said:+, $said}"
