#!/bin/sh
# Builds the plugin and checks its operator; for any CI.  CMAKE_PREFIX_PATH names where aval is installed, AVAL_DEVICE the device.
set -eu
cd "$(dirname "$0")"
cmake -S . -B build -DCMAKE_BUILD_TYPE=RelWithDebInfo
cmake --build build
ctest --test-dir build --output-on-failure
