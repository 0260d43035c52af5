# Installs the runtime alone into an empty prefix, moves it (an installation must not know where it
# was made), builds the outside project against it with no LLVM to be found, and runs both programs.
#   cmake -DBUILD=… -DSOURCE=… -DWORK=… -DCC=… -DCXX=… -DGENERATOR=… -P outside.cmake
function(run)
  execute_process(COMMAND ${ARGN} RESULT_VARIABLE code OUTPUT_VARIABLE output ERROR_VARIABLE output)
  if(NOT code EQUAL 0)
    message(FATAL_ERROR "${ARGN}\nended with ${code}:\n${output}")
  endif()
  message(STATUS "${output}")
endfunction()

file(REMOVE_RECURSE "${WORK}")
run("${CMAKE_COMMAND}" --install "${BUILD}" --component runtime --prefix "${WORK}/first")
file(RENAME "${WORK}/first" "${WORK}/prefix")
run("${CMAKE_COMMAND}" -G "${GENERATOR}" -S "${SOURCE}" -B "${WORK}/build" "-DCMAKE_PREFIX_PATH=${WORK}/prefix"
  "-DCMAKE_C_COMPILER=${CC}" "-DCMAKE_CXX_COMPILER=${CXX}" -DCMAKE_BUILD_TYPE=Release
  -DCMAKE_DISABLE_FIND_PACKAGE_LLVM=ON -DCMAKE_DISABLE_FIND_PACKAGE_MLIR=ON)
run("${CMAKE_COMMAND}" --build "${WORK}/build")
run("${WORK}/build/in-c")
run("${WORK}/build/in-cpp")

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
