#!/usr/bin/env bash
# Bitwise equal: whole trainings repeated on each device, their checkpoints compared byte by byte.  (Operators: aval check --repeats.)
#   determinism.sh PROGRAM [REPEATS] [small]     small: few steps of small batches, for a simulator
set -u
program=$(readlink -f "$1") repeats=${2:-10} form=${3:-}
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder" || exit 1
export RUSTICL_ENABLE=llvmpipe
bad=0

# train NAME DEVICE OPTIONS...: the same training again and again
train() {
    name=$1 device=$2
    shift 2
    for i in $(seq 1 "$repeats"); do
        "$program" train "$@" --device "$device" --seed 3 --stop-after "$steps" --quiet --save "run$i.safetensors" >out.txt 2>&1 || {
            echo "determinism: $name on $device: run $i failed: $(cat out.txt)"
            bad=1
            return
        }
    done
    different=$(sha256sum run*.safetensors | cut -d' ' -f1 | sort -u | wc -l)
    rm -f run*.safetensors
    if [ "$different" = 1 ]; then echo "ok      $name on $device: $repeats trainings of $steps steps gave the same bytes"
    else echo "FAILED  $name on $device: $repeats equal trainings gave $different different checkpoints"; bad=1; fi
}

devices=$("$program" devices --json | python3 -c 'import json, sys
for d in json.load(sys.stdin):
    if not d.get("refusal"): print(d["index"])')
[ -n "$devices" ] || { echo "determinism: no device"; exit 1; }
for device in $devices; do
    "$program" devices | grep -E "^$device " | cut -c1-100
    if [ "$form" = small ]; then
        steps=3
        train linear "$device" linear --batch 16
        train "mlp with dropout" "$device" mlp --layers 16,8 --dropout 0.2 --batch 8
        train lenet "$device" lenet --batch 1
        continue
    fi
    steps=12
    train linear "$device" linear --batch 64
    train "mlp with dropout" "$device" mlp --layers 64,32 --dropout 0.2 --batch 32
    train lenet "$device" lenet --batch 8
done
exit $bad
