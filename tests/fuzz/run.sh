#!/usr/bin/env bash
# Fuzzes the loaders in turn: ONNX, safetensors, NPY and NPZ, IDX, models' cards, PNG and JPEG.
#   run.sh BUILD seconds N    N seconds in all
#   run.sh BUILD runs N       N executions each
#   run.sh BUILD runs N SEED  much the same inputs each time, as a gate needs it (not all: tables are hashed by address); what is new is found without
# BUILD was made by clang with -DAVAL_FUZZ=ON -DAVAL_SANITIZE=address,undefined,fuzzer-no-link.  An input that is reported is left in BUILD/found;
# where it is mended it belongs into the corpus, which every build's tests go over.  ONNX's own cases are seeds too where AVAL_ONNX_DATA, or the
# cache of tests/onnx/run.sh, has them.
set -u
build=$(readlink -f "${1:?run.sh BUILD seconds|runs N}") unit=${2:?} amount=${3:?} seed=${4:-0}
cd "$(dirname "$(readlink -f "$0")")" || exit 1
case $unit in seconds | runs) ;; *) echo "run.sh: expected seconds or runs, found '$unit'" >&2; exit 2 ;; esac
found=$build/found work=$(mktemp -d)
mkdir -p "$found" || exit 1
trap 'rm -rf "$work"' EXIT

# What LeakSanitizer may pass over is named as in test.sh's sanitizers.
export ASAN_OPTIONS=detect_leaks=1:alloc_dealloc_mismatch=0 UBSAN_OPTIONS=print_stacktrace=1
export LSAN_OPTIONS="suppressions=$PWD/../support/lsan.supp:print_suppressions=0"

onnx_cases=${AVAL_ONNX_DATA:-${XDG_CACHE_HOME:-$HOME/.cache}/aval-tests/onnx-1.16.2/data}
seeds_onnx() { # small models of ONNX's cases under names of their own
    [ -d "$onnx_cases/node" ] || return 0
    find "$onnx_cases/node" "$onnx_cases/simple" -name model.onnx -size -3k 2>/dev/null | sort | while read -r model; do
        case_folder=${model%/model.onnx}
        cp "$model" "$1/${case_folder##*/}"
    done
}

# Of 60 seconds ONNX gets half: it is the largest by far.
share() { case $1 in onnx) echo $((amount / 2)) ;; *) echo $((amount / 10)) ;; esac; }
bad=0
for format in onnx safetensors npy idx card picture; do
    mkdir -p "$work/$format" "$work/seeds"
    cp corpus/"$format"/* "$work/seeds/"
    [ "$format" != onnx ] || seeds_onnx "$work/seeds"
    # Named one by one in the order of their names: a folder's own order differs from disk to disk, and with it all that is made of them.
    find "$work/seeds" -type f | LC_ALL=C sort | paste -sd, >"$work/list"
    if [ "$unit" = seconds ]; then limit=-max_total_time=$(share "$format"); else limit=-runs=$amount; fi
    "$build/tests/fuzz/fuzz_$format" "$limit" -seed="$seed" -seed_inputs=@"$work/list" -max_len=4096 -timeout=60 -rss_limit_mb=3000 -malloc_limit_mb=2000 \
        -print_final_stats=1 -verbosity=1 -artifact_prefix="$found/$format-" "$work/$format" >"$work/log" 2>&1
    status=$?
    runs=$(sed -n 's/^stat::number_of_executed_units: *//p' "$work/log")
    echo "$format: ${runs:-0} executions, $(find "$work/$format" -type f | wc -l) inputs that reached something new"
    if [ $status != 0 ]; then
        grep -aE 'ERROR|SUMMARY|runtime error|status -|Test unit written|Base64|    #[0-9] ' "$work/log" | head -n 24
        bad=1
    fi
    rm -rf "$work/seeds"
done
exit $bad
