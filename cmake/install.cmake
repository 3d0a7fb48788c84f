# What `cmake --install` puts where.  All of it can be moved: the library finds its plugins beside itself, the program its library by $ORIGIN,
# and aval.pc and the CMake package their files relative to themselves.
include(CMakePackageConfigHelpers)
set(AVAL_PLUGIN_DIR ${CMAKE_INSTALL_LIBDIR}/aval/plugins) # the library looks there: runtime/exec/context_ops.c
set(AVAL_CMAKE_DIR ${CMAKE_INSTALL_LIBDIR}/cmake/aval)
set(AVAL_KERNEL_DIR ${CMAKE_INSTALL_DATADIR}/aval/kernels)

install(TARGETS aval EXPORT aval LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR})
install(TARGETS aval_cli RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
foreach(plugin ${AVAL_PLUGIN_TARGETS})
    install(TARGETS ${plugin} LIBRARY DESTINATION ${AVAL_PLUGIN_DIR})
endforeach()
install(DIRECTORY include/aval DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})

# For plugins outside the tree, which `aval new-op` begins: aval_add_plugin, the tool that embeds their kernels, what kernels include.
install(TARGETS embed EXPORT aval RUNTIME DESTINATION ${CMAKE_INSTALL_LIBEXECDIR}/aval)
install(FILES ${AVAL_KERNEL_HEADERS} DESTINATION ${AVAL_KERNEL_DIR})

install(EXPORT aval NAMESPACE aval:: FILE aval-targets.cmake DESTINATION ${AVAL_CMAKE_DIR})
configure_package_config_file(cmake/aval-config.cmake.in ${CMAKE_BINARY_DIR}/aval-config.cmake
    INSTALL_DESTINATION ${AVAL_CMAKE_DIR} PATH_VARS AVAL_KERNEL_DIR AVAL_PLUGIN_DIR)
# Until 1.0 a minor version may change the host API.
write_basic_package_version_file(${CMAKE_BINARY_DIR}/aval-config-version.cmake COMPATIBILITY SameMinorVersion)
install(FILES ${CMAKE_BINARY_DIR}/aval-config.cmake ${CMAKE_BINARY_DIR}/aval-config-version.cmake cmake/aval-plugin.cmake
    DESTINATION ${AVAL_CMAKE_DIR})

file(RELATIVE_PATH AVAL_PC_PREFIX /prefix/${CMAKE_INSTALL_LIBDIR}/pkgconfig /prefix)
string(REGEX REPLACE "/$" "" AVAL_PC_PREFIX ${AVAL_PC_PREFIX})
configure_file(cmake/aval.pc.in ${CMAKE_BINARY_DIR}/aval.pc @ONLY)
install(FILES ${CMAKE_BINARY_DIR}/aval.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)
# In a folder where the dynamic linker does not look, programs are told where their library lies.
install(CODE "set(libdir_name \"${CMAKE_INSTALL_LIBDIR}\")")
install(CODE [[
    if(NOT CMAKE_INSTALL_PREFIX MATCHES "^/usr(/local)?/?$")
        set(pc "$ENV{DESTDIR}${CMAKE_INSTALL_PREFIX}/${libdir_name}/pkgconfig/aval.pc")
        file(READ "${pc}" text)
        string(REPLACE "-L\${libdir}" "-L\${libdir} -Wl,-rpath,\${libdir}" text "${text}")
        file(WRITE "${pc}" "${text}")
    endif()]])

# The man page holds what the program itself tells of its commands and options.
if(NOT CMAKE_CROSSCOMPILING)
    add_custom_command(OUTPUT ${CMAKE_BINARY_DIR}/aval.1
        COMMAND sh ${CMAKE_SOURCE_DIR}/docs/man/make.sh $<TARGET_FILE:aval_cli> ${CMAKE_SOURCE_DIR}/docs/man/aval.1.in ${CMAKE_BINARY_DIR}/aval.1
        DEPENDS aval_cli docs/man/make.sh docs/man/aval.1.in VERBATIM)
    add_custom_target(man ALL DEPENDS ${CMAKE_BINARY_DIR}/aval.1)
    install(FILES ${CMAKE_BINARY_DIR}/aval.1 DESTINATION ${CMAKE_INSTALL_MANDIR}/man1)
endif()
install(FILES share/completions/aval.bash DESTINATION ${CMAKE_INSTALL_DATADIR}/bash-completion/completions RENAME aval)

# One file with both licences, under the name that Debian wants: the code's, and that of the digits, which are in the library.
file(READ LICENSE AVAL_LICENSE)
file(READ data/digits/README.md AVAL_DATA_LICENSE)
configure_file(cmake/copyright.in ${CMAKE_BINARY_DIR}/copyright @ONLY)
set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS LICENSE data/digits/README.md)
install(FILES ${CMAKE_BINARY_DIR}/copyright README.md CHANGELOG.md CONTRIBUTING.md DESTINATION ${CMAKE_INSTALL_DATADIR}/doc/aval)
# The pages lie beside the README as in the tree, so that its links work; theirs lead to the installed headers.  The files of `aval new-op` name one of them.
file(GLOB AVAL_PAGES CONFIGURE_DEPENDS RELATIVE ${CMAKE_SOURCE_DIR}/docs docs/*.md)
foreach(page ${AVAL_PAGES})
    file(READ docs/${page} text)
    string(REPLACE "](../include/" "](../../../../include/" text "${text}")
    file(WRITE ${CMAKE_BINARY_DIR}/docs/${page} "${text}")
    set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS docs/${page})
    install(FILES ${CMAKE_BINARY_DIR}/docs/${page} DESTINATION ${CMAKE_INSTALL_DATADIR}/doc/aval/docs)
endforeach()
install(DIRECTORY examples DESTINATION ${CMAKE_INSTALL_DATADIR}/doc/aval FILES_MATCHING PATTERN "*.c" PATTERN "*.h")
