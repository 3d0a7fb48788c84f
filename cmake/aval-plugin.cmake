# aval_add_plugin(NAME SOURCES x.c... [KERNELS x.cl...])
# A plugin of aval as target NAME, built as NAME.so.  Each kernel file becomes a header (x.cl is `static const char x_cl[]` of "x.cl.h") with its
# includes resolved: beside itself first, then those of aval (common.clh).  A plugin links nothing of aval.
function(aval_add_plugin name)
    cmake_parse_arguments(PARSE_ARGV 1 plugin "" "" "SOURCES;KERNELS")
    if(NOT plugin_SOURCES OR plugin_UNPARSED_ARGUMENTS)
        message(FATAL_ERROR "aval_add_plugin(${name} ${ARGN}): expected aval_add_plugin(NAME SOURCES x.c... [KERNELS x.cl...])")
    endif()
    set(folder ${CMAKE_CURRENT_BINARY_DIR}/${name}-kernels)
    file(MAKE_DIRECTORY ${folder})
    set(headers)
    foreach(kernel ${plugin_KERNELS})
        get_filename_component(kernel ${kernel} ABSOLUTE)
        get_filename_component(file ${kernel} NAME)
        get_filename_component(beside ${kernel} DIRECTORY)
        file(GLOB included CONFIGURE_DEPENDS ${beside}/*.clh ${AVAL_KERNEL_DIR}/*.clh)
        add_custom_command(
            OUTPUT ${folder}/${file}.h
            COMMAND aval::embed text ${kernel} ${folder}/${file}.h ${AVAL_KERNEL_DIR}
            DEPENDS aval::embed ${kernel} ${included} VERBATIM)
        list(APPEND headers ${folder}/${file}.h)
    endforeach()
    add_library(${name} MODULE ${plugin_SOURCES} ${headers})
    set_target_properties(${name} PROPERTIES PREFIX "" SUFFIX ".so" C_STANDARD 11 C_VISIBILITY_PRESET hidden POSITION_INDEPENDENT_CODE ON)
    target_include_directories(${name} PRIVATE ${folder} $<TARGET_PROPERTY:aval::aval,INTERFACE_INCLUDE_DIRECTORIES>)
    target_link_libraries(${name} PRIVATE m)
endfunction()
