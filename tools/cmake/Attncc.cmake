# Build rules that need neither LLVM nor MLIR. Every library is static and is included from the
# root of the source tree: #include "runtime/support/Result.h".

# What every target is compiled with. -Wrestrict: GCC 12 warns of std::string's own operator+ (GCC bug
# 105329).
function(attncc_warnings target)
  target_compile_options(${target} PRIVATE -Wall -Wextra -Wno-unused-parameter
    $<$<CXX_COMPILER_ID:GNU>:-Wno-restrict>)
endfunction()

# attncc_library(name SOURCES a.cpp … [LINK lib …])
function(attncc_library name)
  cmake_parse_arguments(ARG "" "" "SOURCES;LINK" ${ARGN})
  add_library(${name} STATIC ${ARG_SOURCES})
  target_include_directories(${name} PUBLIC "${PROJECT_SOURCE_DIR}" "${PROJECT_BINARY_DIR}" "${PROJECT_SOURCE_DIR}/runtime/include")
  attncc_warnings(${name})
  target_link_libraries(${name} PUBLIC ${ARG_LINK})
endfunction()

# attncc_unit_test(name SOURCES a.cpp … [LINK lib …]): one GoogleTest executable, run by ctest.
function(attncc_unit_test name)
  if(NOT ATTNCC_BUILD_TESTS)
    return()
  endif()
  cmake_parse_arguments(ARG "" "" "SOURCES;LINK" ${ARGN})
  find_package(GTest REQUIRED)
  add_executable(${name} ${ARG_SOURCES})
  target_include_directories(${name} PRIVATE "${PROJECT_SOURCE_DIR}" "${PROJECT_BINARY_DIR}")
  target_compile_definitions(${name} PRIVATE ATTNCC_SOURCE_DIR="${PROJECT_SOURCE_DIR}")
  target_link_libraries(${name} PRIVATE ${ARG_LINK} GTest::gtest_main GTest::gmock)
  include(GoogleTest)
  gtest_discover_tests(${name} DISCOVERY_MODE PRE_TEST PROPERTIES TIMEOUT 600)
endfunction()
