#!/usr/bin/env bash
# Installs what the tests need, builds, and runs the tests; prints what each part took against its budget.
#   ./test.sh            all that must hold
#   ./test.sh --quick    under 3 minutes with warm caches: without what the CMake files of tests/ label slow, or programs
#   ./test.sh --nightly  hours: many repeats, all sizes
#   ./test.sh --data DIR the folder with MNIST's IDX files (default: ../shared/data/mnist where it is)
set -u
cd "$(dirname "$(readlink -f "$0")")" || exit 1
. .ci/packages.sh

tier=full
data=../shared/data/mnist
while [ $# -gt 0 ]; do
    case $1 in
        --quick) tier=quick ;;
        --nightly) tier=nightly ;;
        --data) shift; data=${1:?--data needs a folder} ;;
        *) echo "test.sh: unknown option '$1' (there are --quick, --nightly, --data DIR)" >&2; exit 2 ;;
    esac
    shift
done
# shellcheck disable=SC2086 # lists of words
need_packages $AVAL_RUN_PACKAGES $AVAL_TEST_PACKAGES

passed=0 failed=0 skipped=0
table=""
# part NAME BUDGET_MINUTES COMMAND...: runs it, counts it, remembers its time.  Status 77: nothing failed, but something was left out.
part() {
    name=$1 budget=$2
    shift 2
    echo "== $name"
    start=$(date +%s)
    "$@"
    case $? in
        0) verdict=ok passed=$((passed + 1)) ;;
        77) verdict="left out in part: see above" skipped=$((skipped + 1)) ;;
        *) verdict=FAILED failed=$((failed + 1)) ;;
    esac
    took=$(($(date +%s) - start))
    [ "$took" -le $((budget * 60)) ] || verdict="$verdict, over its budget"
    table="$table$(printf '%-32s %4d s of %4d s  %s' "$name" "$took" $((budget * 60)) "$verdict")
"
}
left_out() { # NAME REASON
    echo "== $1: left out, $2"
    skipped=$((skipped + 1))
    table="$table$(printf '%-32s left out: %s' "$1" "$2")
"
}

build() { # FOLDER TARGET CMAKE_ARGUMENTS...: quiet unless it fails
    folder=$1 target=$2
    shift 2
    mkdir -p "$folder" && touch "$folder/build.log" || return 1
    { cmake -S . -B "$folder" "$@" && cmake --build "$folder" --target "$target" --parallel "$(nproc)"; } >"$folder/build.log" 2>&1 && return 0
    grep -E 'error|warning' "$folder/build.log" | head -n 40
    echo "the whole log is $folder/build.log"
    return 1
}
# The tests' own cache, so that a user's is left alone; cold whenever build/ is new.
export AVAL_CACHE_DIR="$PWD/build/cache"
mkdir -p -m 700 build build/cache

run_ctest() { # FOLDER [CTEST_ARGUMENTS...]
    folder=$1
    shift
    ctest --test-dir "$folder" --output-on-failure --timeout 900 "$@"
}
sanitized() {
    build build/sanitize all -DCMAKE_BUILD_TYPE=RelWithDebInfo -DAVAL_SANITIZE=address,undefined || return 1
    # PoCL alone: Mesa's drivers are unloaded before the leak check, so that what they leak has no name to suppress.  What drivers keep
    # until the process ends is in lsan.supp; LLVM's threads have signal stacks of their own, which ASan's must not replace.
    # Thread-local memory of libraries that a driver loads late is left out: LSan guesses where it lies, now and then wrong, and crashes there.
    OCL_ICD_VENDORS=/etc/OpenCL/vendors/pocl.icd \
        LSAN_OPTIONS="suppressions=$PWD/tests/support/lsan.supp:print_suppressions=0" \
        ASAN_OPTIONS=detect_leaks=1:alloc_dealloc_mismatch=0:use_sigaltstack=0:intercept_tls_get_addr=0 \
        UBSAN_OPTIONS=print_stacktrace=1 run_ctest build/sanitize -LE slow || return 1
    # ThreadSanitizer knows no other sanitizer beside it, and Criterion not at all: a build and a program of its own.
    build build/threads threads -DCMAKE_BUILD_TYPE=RelWithDebInfo -DAVAL_SANITIZE=thread || return 1
    run_ctest build/threads -R '^threads'
}

build_fuzzers() {
    build build/fuzz fuzz -DCMAKE_C_COMPILER=clang -DCMAKE_BUILD_TYPE=RelWithDebInfo -DAVAL_FUZZ=ON -DAVAL_SANITIZE=address,undefined,fuzzer-no-link
}

# Every sample, ten times for equal bits; once more with other random numbers, which must find nothing either; and the small ones on the halves of
# PoCL's device, each held against the other too.
operators() {
    build/test/aval check --quiet --repeats 10 || return 1
    echo "operators: no false alarm in the first full run, equal bits in 10 repeats"
    build/test/aval check --quiet --seed 1 || return 1
    echo "operators: no false alarm in the second full run, with other random numbers"
    OCL_ICD_VENDORS=/etc/OpenCL/vendors/pocl.icd OPENCL_LAYERS=$PWD/build/test/tests/opencl_layer.so AVAL_LAYER_SPLIT=1 \
        build/test/aval check --all-devices --quick --quiet --repeats 10 || return 1
    echo "operators: no false alarm on the two halves of PoCL's device, equal bits in 10 repeats"
}

part "format and layers" 1 bash tests/hygiene.sh
part "build (gcc)" 3 build build/test all -DCMAKE_BUILD_TYPE=Release
if [ "$tier" = quick ]; then
    part "unit and integration" 3 run_ctest build/test -LE 'slow|programs'
else
    part "build (clang)" 3 build build/clang all -DCMAKE_BUILD_TYPE=Release -DCMAKE_C_COMPILER=clang
    part "unit and integration" 7 run_ctest build/test
    part "operators" 8 operators
    part "operators on llvmpipe" 5 python3 tests/check/llvmpipe.py build/test
    part "oclgrind" 5 python3 tests/oclgrind/run.py build/test
    part "operators on a small device" 4 bash tests/check/small_device.sh build/test
    part "operators as on a GPU" 4 bash tests/check/as_gpu.sh build/test
    part "vendors' compilers" 6 bash tests/vendors/run.sh build/test
    part "ONNX cases" 7 bash tests/onnx/run.sh build/test/aval
    part "sanitizers" 7 sanitized
    part "build (fuzzers)" 3 build_fuzzers
    part "fuzzing" 2 bash tests/fuzz/run.sh build/fuzz runs 600000 1
    if [ -f "$data/train-images-idx3-ubyte.gz" ] || [ -f "$data/train-images-idx3-ubyte" ]; then
        part "MNIST" 4 bash tests/bench/mnist.sh build/test/aval "$data"
    else
        left_out "MNIST" "no MNIST in $data (--data DIR brings it)"
    fi
    part "bars" 4 python3 tests/bench/bars.py build/test
fi
if [ "$tier" = nightly ]; then
    for seed in $(seq 1 20); do part "operators, seed $seed" 8 build/test/aval check --quiet --seed "$seed"; done
    part "llvmpipe, ten times for equal bits" 120 python3 tests/check/llvmpipe.py build/test --repeats 10
    part "oclgrind, slow operators whole" 120 python3 tests/oclgrind/run.py build/test --whole
    part "fuzzing, 1,000,000 executions each" 240 bash tests/fuzz/run.sh build/fuzz runs 1000000
    part "an empty Debian" 15 bash tests/install/clean_root.sh build/test
fi

printf '\n%s' "$table"
echo
echo "$passed passed, $failed failed, $skipped skipped"
[ "$failed" = 0 ]
