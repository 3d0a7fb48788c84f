#!/usr/bin/env bash
# tests/on-gpu.sh in its quick form: on PoCL as a stand-in, on a device that lies, and without a device.
#   on_gpu.sh SCRIPT PROGRAM LAYER
set -u
script=$1 program=$2 layer=$3
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
export OCL_ICD_VENDORS=/etc/OpenCL/vendors/pocl.icd
unset AVAL_DEVICE OPENCL_LAYERS
fail() {
    echo "on_gpu: $1"
    cat "$folder/log"
    exit 1
}
run() { # EXPECTED_CODE OUTPUT ARGUMENTS...
    expected=$1 output=$2
    shift 2
    bash "$script" --quick --program "$program" --output "$output" "$@" >"$folder/log" 2>&1
    code=$?
    [ "$code" = "$expected" ] || fail "$*: expected exit code $expected, found $code"
}
report() { tar -xzf "$1" -O aval-report/report.txt; }

run 0 "$folder/right.tar.gz" --device "Portable Computing Language"
[ "$(report "$folder/right.tar.gz" | grep -c ' ok, ')" = 10 ] || fail "expected five parts that passed, each told where it stands and in the summary"
for file in devices.json verdicts/verdicts-; do
    tar -tzf "$folder/right.tar.gz" | grep -q "^aval-report/$file" || fail "the report has no $file"
done
report "$folder/right.tar.gz" | grep -qF -e "$(id -un)@" -e "$HOME/" -e "$(uname -n)" && fail "the report names the user or the host"

OPENCL_LAYERS=$layer AVAL_LAYER_LIAR=0 AVAL_LAYER_LIE=off:7 run 1 "$folder/wrong.tar.gz" --device 0
tar -tzf "$folder/wrong.tar.gz" | grep -q '^aval-report/failures/.*/case.json' || fail "a device that lies left no failure in the report"
report "$folder/wrong.tar.gz" | grep -q 'FAILED with exit code 1' || fail "the report does not say that a check failed"

run 3 "$folder/none.tar.gz" --device no-such-device
grep -q "no device can be used: aval: .*no-such-device" "$folder/log" || fail "expected the reason why there is no device"
run 2 "$folder/none.tar.gz" --sooner
exit 0
