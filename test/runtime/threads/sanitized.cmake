# Builds the runtime and the threads test anew under ThreadSanitizer, and runs the test.
#   cmake -DSOURCE=… -DWORK=… -DC=… -DCXX=… -DGENERATOR=… [-DLAUNCHER=…] -P sanitized.cmake
function(run)
  execute_process(COMMAND ${ARGN} RESULT_VARIABLE code OUTPUT_VARIABLE output ERROR_VARIABLE output)
  if(NOT code EQUAL 0)
    message(FATAL_ERROR "${ARGN}\nended with ${code}:\n${output}")
  endif()
endfunction()

run("${CMAKE_COMMAND}" -G "${GENERATOR}" -S "${SOURCE}" -B "${WORK}" "-DCMAKE_C_COMPILER=${C}" "-DCMAKE_CXX_COMPILER=${CXX}"
  "-DCMAKE_CXX_COMPILER_LAUNCHER=${LAUNCHER}" -DCMAKE_BUILD_TYPE=RelWithDebInfo -DATTNCC_BUILD_COMPILER=OFF
  "-DCMAKE_CXX_FLAGS_RELWITHDEBINFO=-O1 -g1 -fsanitize=thread")
run("${CMAKE_COMMAND}" --build "${WORK}" --target attncc-threads-test)
# Kernels that place memory at random in more bits than ThreadSanitizer of GCC 12 expects stop it at once.
find_program(SETARCH setarch)
if(SETARCH)
  set(still "${SETARCH}" -R)
endif()
run(${still} "${WORK}/test/runtime/attncc-threads-test")
