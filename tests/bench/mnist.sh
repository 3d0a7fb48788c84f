#!/usr/bin/env bash
# MNIST, mlp 784-512-512-10, batch 128, one epoch: the mean of 5 seeds must be at least 95.5 %.
#   mnist.sh PROGRAM FOLDER
set -eu
program=$1 data=$2
accuracies=""
for seed in 0 1 2 3 4; do
    out=$("$program" train mlp --layers 512,512 --batch 128 --epochs 1 --lr 0.1 --momentum 0.9 --seed "$seed" --data "$data" --json)
    line=$(printf '%s' "$out" | python3 -c '
import json, sys
r = json.load(sys.stdin)
print(100 * r["test_accuracy"], r["examples_per_second"], r["device"])')
    echo "seed $seed: test accuracy %, examples a second, device: $line"
    accuracies="$accuracies ${line%% *}"
done
mean=$(echo "$accuracies" | awk '{ for (i = 1; i <= NF; i++) s += $i; printf "%.2f", s / NF }')
echo "MNIST mlp: mean of 5 seeds $mean % (at least 95.5)"
awk -v m="$mean" 'BEGIN { exit !(m >= 95.5) }'
