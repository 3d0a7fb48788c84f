#!/usr/bin/env bash
# What matters on a machine with a GPU, in under 10 minutes and without a network: one report file to send back.
#   tests/on-gpu.sh [--device SELECTOR] [--program FILE] [--output FILE.tar.gz] [--quick]
#     --device   as of `aval`: index, gpu, or part of PLATFORM/DEVICE [the one that aval takes]
#     --program  [build/release/aval of this tree, else the installed one]
#     --output   [aval-report-DATE.tar.gz here]
#     --quick    a few operators and short measurements: does the script itself work?
# Ends with 0: all passed; 1: something differs, which is in the report all the same; 2: wrong use; 3: no device could be used.
#
# The report holds report.txt (read it before you send it), a page for a browser, the verdicts, and a folder for each failure.  It names the system, driver and
# devices, and no user or host.
set -u
home=$(dirname "$(dirname "$(readlink -f "$0")")")
limit=570 # seconds for all; parts that come later are cut first
program="" output="" quick=0
device=()
stop() { echo "on-gpu: $1" >&2; exit "${2:-2}"; }
while [ $# -gt 0 ]; do
    case $1 in
        --device) shift; device=(--device "${1:?--device needs a selector}") ;;
        --program) shift; program=${1:?--program needs a file} ;;
        --output) shift; output=${1:?--output needs a file} ;;
        --quick) quick=1 ;;
        *) stop "unknown option '$1' (there are --device, --program, --output, --quick)" ;;
    esac
    shift
done
if [ -z "$program" ]; then
    program=$home/build/release/aval
    [ -x "$program" ] || program=$(command -v aval) || stop "no program: ./run.sh --build-only makes one, or name it by --program"
fi
program=$(readlink -f "$program")
[ -x "$program" ] || stop "$program is no program"
output=$(readlink -f "${output:-aval-report-$(date +%Y%m%d-%H%M%S).tar.gz}") || stop "the folder of --output is not there"
work=$(mktemp -d) || stop "no room for temporary files" 3
trap 'rm -rf "$work"' EXIT
folder=$work/aval-report
mkdir -p "$folder" "$work/run" && cd "$work/run" || exit 3
mkdir -m 700 "$work/cache"
export AVAL_CACHE_DIR=$work/cache # nothing is known of the device at the start
report=$folder/report.txt
started=$(date +%s)
left() { echo $((limit - $(date +%s) + started)); }
failed=0

# part SECONDS TITLE COMMAND...: its output goes into the report; a line says how it ended.  It gets no more than is left of all.
part() {
    seconds=$1 title=$2
    shift 2
    [ "$(left)" -ge "$seconds" ] || seconds=$(left)
    printf '\n== %s\n' "$title" >>"$report"
    if [ "$seconds" -lt 5 ]; then
        echo "left out: no time was left" | tee -a "$report"
        return 0
    fi
    start=$(date +%s)
    timeout -k 5 "$seconds" "$@" >>"$report" 2>&1
    code=$?
    case $code in
        0) verdict=ok ;;
        124 | 137) verdict="cut off after $seconds s" ;;
        *) verdict="FAILED with exit code $code" ;;
    esac
    [ "$code" = 0 ] || failed=1
    printf '%-44s %s, %d s\n' "$title" "$verdict" $(($(date +%s) - start)) | tee -a "$report" "$folder/summary.txt"
    return $code
}

system() {
    "$program" --version
    uname -srm
    grep -m1 'model name' /proc/cpuinfo
    date -u '+%Y-%m-%d'
    env | grep -E '^(AVAL_GEMM|AVAL_GROUP|AVAL_LAUNCH_WORK|AVAL_COMMAND_BUFFERS|AVAL_DEVICE|OCL_|RUSTICL_|POCL_)'
    return 0
}
# shellcheck disable=SC2317 # functions that in_shell calls
# Every operator's small samples, some at a time: what a driver cannot stand leaves the others their turn.
check_ops() {
    bad=0
    while read -r -a names; do
        if [ "$(left)" -lt "$1" ]; then
            echo "left out, for there was no time: ${names[*]}"
            continue
        fi
        "$program" check --quick --timeout 30 --failures "$folder/failures" "${device[@]}" "${names[@]}" </dev/null || bad=1
    done
    return $bad
}
check_own_products() {
    AVAL_GEMM=groups check_ops 100
}
# The same training again: all bytes of the weights must be equal.
determinism() {
    for i in 1 2 3; do
        "$program" train "$1" --stop-after 12 --seed 3 --quiet --save "run$i.safetensors" "${device[@]}" || return 1
    done
    sha256sum run[123].safetensors
    [ "$(sha256sum run[123].safetensors | cut -d' ' -f1 | sort -u | wc -l)" = 1 ] || { echo "equal trainings gave different weights"; return 1; }
}
# The accuracy on the digits, which must be what it is everywhere.
accuracy() { # PERCENT ARGUMENTS...
    least=$1
    shift
    "$program" train "$@" --seed 1 --quiet "${device[@]}" | tee accuracy.txt || return 1
    awk -v least="$least" '/accuracy/ { found = $3 } END { exit !(found >= least) }' accuracy.txt || { echo "expected at least $least %"; return 1; }
}
export -f check_ops check_own_products determinism accuracy left
# Functions run under timeout in a shell of their own, which arrays do not reach.
in_shell() { # SECONDS TITLE FUNCTION ARGUMENTS...
    seconds=$1 title=$2
    shift 2
    part "$seconds" "$title" env program="$program" folder="$folder" limit="$limit" started="$started" selector="${device[1]:-}" \
        bash -c 'device=(); [ -z "$selector" ] || device=(--device "$selector"); "$@"' - "$@"
}

echo "aval's report from a machine with a GPU; nothing in it names a person or a host" >"$report"
: >"$folder/summary.txt"
{ printf '\n== system\n'; system; } >>"$report" 2>&1
if ! message=$("$program" devices "${device[@]}" 2>&1 >/dev/null); then stop "no device can be used: $message" 3; fi
part 60 "devices" "$program" devices "${device[@]}"
"$program" devices --json "${device[@]}" >"$folder/devices.json" 2>/dev/null
if [ "$quick" = 1 ]; then
    printf 'Relu MatMul\nSoftmax\n' >ops.txt
    in_shell 120 "check of 3 operators" check_ops 10 <ops.txt
    in_shell 60 "determinism, linear" determinism linear
    in_shell 60 "digits, linear" accuracy 80 linear --epochs 2
    part 60 "bench, mlp with roofline" "$program" bench mlp --batch 32 --roofline "${device[@]}"
else
    "$program" ops | awk '{ print $1 }' | sort -u | xargs -n 16 >ops.txt
    in_shell 330 "check of all operators" check_ops 200 <ops.txt
    printf 'MatMul Gemm Conv ConvTranspose\n' >ops.txt
    in_shell 60 "check of products by our own kernels" check_own_products <ops.txt
    in_shell 40 "determinism, mlp" determinism mlp
    in_shell 40 "determinism, lenet" determinism lenet
    in_shell 60 "digits, mlp" accuracy 94 mlp --epochs 10
    in_shell 60 "digits, lenet" accuracy 96 lenet --epochs 5
    part 60 "net step by step against this machine's others" "$program" check mlp --steps 10 --all-devices --failures "$folder/failures"
    part 40 "bench, gemm" "$program" bench gemm "${device[@]}"
    part 40 "bench, gemm by our own kernels" env AVAL_GEMM=groups "$program" bench gemm "${device[@]}"
    for net in mlp lenet; do part 40 "bench, $net with roofline" "$program" bench "$net" --batch 128 --roofline "${device[@]}"; done
    part 20 "bench, elementwise" "$program" bench elementwise "${device[@]}"
fi
# What is known of the devices now; built programs stay here.
mkdir -p "$folder/verdicts" && find "$AVAL_CACHE_DIR" -type f ! -name '*.program' -size -1000k -exec cp {} "$folder/verdicts/" \;
{ printf '\n== summary\n'; cat "$folder/summary.txt"; } >>"$report"
rm -f "$folder/summary.txt"
tar -C "$work" -czf "$output" aval-report || stop "$output cannot be written" 3
echo "$(($(date +%s) - started)) s in all; the report is $output"
exit $failed
