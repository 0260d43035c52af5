# Installs the runtime alone into an empty prefix, moves it (an installation must not know where it
# was made), builds the outside project against it with no LLVM to be found, and runs both programs.
# The program of docs/runtime.md is built too, and runs on the sample package, whose shape it is given.
#   cmake -DBUILD=… -DSOURCE=… -DDOCS=… -DSAMPLE=… -DWORK=… -DCC=… -DCXX=… -DGENERATOR=… -P outside.cmake
function(run)
  execute_process(COMMAND ${ARGN} RESULT_VARIABLE code OUTPUT_VARIABLE output ERROR_VARIABLE output)
  if(NOT code EQUAL 0)
    message(FATAL_ERROR "${ARGN}\nended with ${code}:\n${output}")
  endif()
  message(STATUS "${output}")
endfunction()

file(REMOVE_RECURSE "${WORK}")
file(READ "${DOCS}/runtime.md" text)
string(REGEX MATCH "```cpp\n([^`]*)```" found "${text}")
set(program "${CMAKE_MATCH_1}")
set(shape "kLayers = 16, kQueryHeads = 32, kKvHeads = 8, kHeadDim = 64;")
string(FIND "${program}" "${shape}" at)
if(at EQUAL -1)
  message(FATAL_ERROR "the program of docs/runtime.md has no line with ${shape}")
endif()
string(REPLACE "${shape}" "kLayers = 2, kQueryHeads = 4, kKvHeads = 2, kHeadDim = 16;" program "${program}")
file(WRITE "${WORK}/step.cpp" "${program}")
run("${SAMPLE}" "${WORK}/package")
run("${CMAKE_COMMAND}" --install "${BUILD}" --component runtime --prefix "${WORK}/first")
file(RENAME "${WORK}/first" "${WORK}/prefix")
run("${CMAKE_COMMAND}" -G "${GENERATOR}" -S "${SOURCE}" -B "${WORK}/build" "-DCMAKE_PREFIX_PATH=${WORK}/prefix"
  "-DCMAKE_C_COMPILER=${CC}" "-DCMAKE_CXX_COMPILER=${CXX}" -DCMAKE_BUILD_TYPE=Release
  "-DSTEP_SOURCE=${WORK}/step.cpp" -DCMAKE_DISABLE_FIND_PACKAGE_LLVM=ON -DCMAKE_DISABLE_FIND_PACKAGE_MLIR=ON)
run("${CMAKE_COMMAND}" --build "${WORK}/build")
run("${WORK}/build/in-c")
run("${WORK}/build/in-cpp")
run("${WORK}/build/step" "${WORK}/package")

# Nothing of the build or source tree may be named by what was installed.
file(GLOB_RECURSE installed "${WORK}/prefix/*.cmake" "${WORK}/prefix/*.h" "${WORK}/prefix/*.hpp")
if(NOT installed)
  message(FATAL_ERROR "nothing was installed")
endif()
foreach(file ${installed})
  file(READ "${file}" text)
  foreach(path "${BUILD}" "${WORK}/first" LLVM MLIR)
    string(FIND "${text}" "${path}" at)
    if(NOT at EQUAL -1)
      message(FATAL_ERROR "${file} names ${path}")
    endif()
  endforeach()
endforeach()
