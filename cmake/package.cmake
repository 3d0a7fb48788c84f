# `cpack -G DEB` in the build folder makes a Debian package of what is installed.  tests/install/clean_root.sh installs it in a bare system.
set(CPACK_GENERATOR DEB)
set(CPACK_PACKAGE_NAME aval)
set(CPACK_PACKAGE_VENDOR "The aval authors")
set(CPACK_PACKAGE_CONTACT "The aval authors <maintainers@users.noreply.r-seed-b43531f0.example>")
set(CPACK_PACKAGING_INSTALL_PREFIX /usr)
set(CPACK_STRIP_FILES ON)
set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_DEBIAN_PACKAGE_SECTION science)
set(CPACK_DEBIAN_PACKAGE_DESCRIPTION
"Trains and runs feed-forward, convolutional and recurrent networks on GPUs and
CPUs of any vendor.  Operators are plugins, each with its gradient; aval check
compares both with a reference on the host.  Holds the program, the library,
its headers and what plugins are built with.")
# Libraries by what the files are linked with; without any OpenCL device aval installs, and says that there is none.
set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS ON)
set(CPACK_DEBIAN_PACKAGE_RECOMMENDS "pocl-opencl-icd | opencl-icd")
set(CPACK_DEBIAN_PACKAGE_SUGGESTS "cmake, pkg-config, gcc, clinfo, graphviz")
# What packages of programs that link aval depend on.  CPack's own way would take plugins for libraries.
get_target_property(soversion aval SOVERSION)
file(WRITE ${CMAKE_BINARY_DIR}/debian/shlibs "libaval ${soversion} aval (>= ${PROJECT_VERSION})\n")
set(CPACK_DEBIAN_PACKAGE_CONTROL_EXTRA ${CMAKE_BINARY_DIR}/debian/shlibs)
set(CPACK_DEBIAN_PACKAGE_CONTROL_STRICT_PERMISSION ON)
include(CPack)
