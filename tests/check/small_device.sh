#!/bin/bash
# small_device.sh BUILD_FOLDER: every operator's small samples, and a training, on a device that has no doubles, groups of one work-item,
# 16 KB of local memory, buffers of 64 MB, no binaries and addresses of 32 bits.  The OpenCL layer of the tests refuses what passes these
# limits (tests/layer/limits.c), so that respecting them is not left to chance.
set -u
build=$(readlink -f "${1:?usage: small_device.sh BUILD_FOLDER}")
export OCL_ICD_VENDORS=/etc/OpenCL/vendors/pocl.icd OPENCL_LAYERS=$build/tests/opencl_layer.so
export AVAL_LAYER_HIDE=fp64,binaries,address=32,local=16384,group=1,allocation=67108864
devices=$("$build/aval" devices --json) || exit 1
for told in '"fp64": false' '"local_bytes": 16384' '"max_group": 1' '"largest_allocation_bytes": 67108864'; do
    case $devices in *"$told"*) ;; *) echo "small_device: the layer is not at work: no $told in $devices"; exit 1 ;; esac
done
"$build/aval" check --quick --quiet || exit 1
"$build/aval" train mlp --epochs 2 --quiet || exit 1
"$build/aval" train lenet --epochs 1 --quiet
