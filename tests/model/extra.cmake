# The tests write ONNX files with the same generated code that reads them.
target_include_directories(test_model SYSTEM PRIVATE ${CMAKE_BINARY_DIR}/protobuf)
