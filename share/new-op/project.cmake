# A plugin of aval with the operator my::NewOp.  CMAKE_PREFIX_PATH names where aval is installed, if not in /usr or /usr/local.
#   cmake -S . -B build && cmake --build build && ctest --test-dir build --output-on-failure      (./check.sh does all three)
cmake_minimum_required(VERSION 3.18)
project(new_op VERSION 0.1.0 LANGUAGES C)
find_package(aval REQUIRED)

file(GLOB kernels CONFIGURE_DEPENDS *.cl)
aval_add_plugin(new_op SOURCES new_op.c KERNELS ${kernels})
target_compile_options(new_op PRIVATE -Wall -Wextra)
# Installed plugins are found without --plugin.
install(TARGETS new_op LIBRARY DESTINATION "${AVAL_PLUGIN_DIR}")

enable_testing()
find_program(AVAL_PROGRAM aval HINTS "${AVAL_PLUGIN_DIR}/../../../bin" "${AVAL_PLUGIN_DIR}/../../../../bin")
add_test(NAME check COMMAND ${AVAL_PROGRAM} check --plugin $<TARGET_FILE:new_op> my::NewOp)
