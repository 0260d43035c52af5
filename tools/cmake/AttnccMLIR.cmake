# Build rules for what includes MLIR. Libraries carry no MLIR link interface: a tool links either
# the shared libraries (attncc_link_mlir_shared) or the static archives (attncc_link_mlir_static),
# never both, because two copies of LLVM in one process clash.
list(APPEND CMAKE_PREFIX_PATH /usr/lib/llvm-22)
find_package(MLIR 22.1 REQUIRED CONFIG)
list(APPEND CMAKE_MODULE_PATH "${MLIR_CMAKE_DIR}" "${LLVM_CMAKE_DIR}")
include(TableGen)
include(AddLLVM)
include(AddMLIR)
separate_arguments(ATTNCC_LLVM_DEFINITIONS NATIVE_COMMAND "${LLVM_DEFINITIONS}")

# attncc_mlir_library(name SOURCES a.cpp … [LINK lib …] [DEPENDS tablegen-target …])
function(attncc_mlir_library name)
  cmake_parse_arguments(ARG "" "" "SOURCES;LINK;DEPENDS" ${ARGN})
  attncc_library(${name} SOURCES ${ARG_SOURCES} LINK ${ARG_LINK})
  attncc_use_mlir_headers(${name})
  if(ARG_DEPENDS)
    add_dependencies(${name} ${ARG_DEPENDS})
  endif()
endfunction()

function(attncc_use_mlir_headers target)
  target_include_directories(${target} SYSTEM PUBLIC ${LLVM_INCLUDE_DIRS} ${MLIR_INCLUDE_DIRS})
  target_compile_definitions(${target} PRIVATE ${ATTNCC_LLVM_DEFINITIONS})
endfunction()

# attncc_dialect(name): everything tablegen makes of a dialect's folder, which holds <Name>Dialect.td
# (includes the attributes, types and ops) and Passes.td. Headers land beside the sources' mirror in
# the build tree: #include "dialects/<name>/<Name>Ops.h.inc". Target: attncc_<name>_inc_gen.
function(attncc_dialect name)
  string(SUBSTRING ${name} 0 1 first)
  string(TOUPPER ${first} first)
  string(SUBSTRING ${name} 1 -1 rest)
  set(Name "${first}${rest}")
  set(LLVM_TARGET_DEFINITIONS ${Name}Dialect.td)
  set(TABLEGEN_OUTPUT)
  list(APPEND MLIR_TABLEGEN_FLAGS)
  set(flags "-I${PROJECT_SOURCE_DIR}" "-I${MLIR_INCLUDE_DIRS}")
  mlir_tablegen(${Name}Dialect.h.inc -gen-dialect-decls -dialect=${name} ${flags})
  mlir_tablegen(${Name}Dialect.cpp.inc -gen-dialect-defs -dialect=${name} ${flags})
  mlir_tablegen(${Name}Enums.h.inc -gen-enum-decls ${flags})
  mlir_tablegen(${Name}Enums.cpp.inc -gen-enum-defs ${flags})
  mlir_tablegen(${Name}Attrs.h.inc -gen-attrdef-decls -attrdefs-dialect=${name} ${flags})
  mlir_tablegen(${Name}Attrs.cpp.inc -gen-attrdef-defs -attrdefs-dialect=${name} ${flags})
  mlir_tablegen(${Name}Types.h.inc -gen-typedef-decls -typedefs-dialect=${name} ${flags})
  mlir_tablegen(${Name}Types.cpp.inc -gen-typedef-defs -typedefs-dialect=${name} ${flags})
  mlir_tablegen(${Name}Ops.h.inc -gen-op-decls -dialect=${name} ${flags})
  mlir_tablegen(${Name}Ops.cpp.inc -gen-op-defs -dialect=${name} ${flags})
  set(LLVM_TARGET_DEFINITIONS Passes.td)
  mlir_tablegen(Passes.h.inc -gen-pass-decls -name ${Name} ${flags})
  add_public_tablegen_target(attncc_${name}_inc_gen)

  # The reference pages of the dialect and of its passes: ninja dialect-docs, into docs/ of the build.
  set(pages "${PROJECT_BINARY_DIR}/docs/${name}.md" "${PROJECT_BINARY_DIR}/docs/${name}-passes.md")
  list(GET pages 0 ops_page)
  list(GET pages 1 passes_page)
  set(tablegen "${LLVM_TOOLS_BINARY_DIR}/mlir-tblgen")
  add_custom_command(OUTPUT ${pages}
    COMMAND ${CMAKE_COMMAND} -E make_directory "${PROJECT_BINARY_DIR}/docs"
    COMMAND "${tablegen}" -gen-dialect-doc -dialect=${name} ${flags} ${Name}Dialect.td -o "${ops_page}"
    COMMAND "${tablegen}" -gen-pass-doc ${flags} Passes.td -o "${passes_page}"
    WORKING_DIRECTORY "${CMAKE_CURRENT_SOURCE_DIR}"
    DEPENDS attncc_${name}_inc_gen VERBATIM)
  if(NOT TARGET dialect-docs)
    add_custom_target(dialect-docs)
  endif()
  add_custom_target(dialect-docs-${name} DEPENDS ${pages})
  add_dependencies(dialect-docs dialect-docs-${name})
endfunction()

# The shared libMLIR and libLLVM: for attncc-opt and the unit tests, quick to link.
function(attncc_link_mlir_shared target)
  attncc_use_mlir_headers(${target})
  target_link_directories(${target} PRIVATE "${LLVM_LIBRARY_DIR}")
  target_link_libraries(${target} PRIVATE "${LLVM_LIBRARY_DIR}/libMLIR.so" "${LLVM_LIBRARY_DIR}/libLLVM.so")
endfunction()

# The static archives, as one group, with lld: a binary that needs nothing but glibc.
find_program(ATTNCC_LLD NAMES ld.lld-22 ld.lld PATHS "${LLVM_TOOLS_BINARY_DIR}" DOC "lld, which links attncc")
function(attncc_link_mlir_static target)
  if(NOT ATTNCC_LLD)
    message(FATAL_ERROR "lld is needed to link ${target}: install the package lld-22")
  endif()
  attncc_use_mlir_headers(${target})
  file(GLOB mlir_archives "${LLVM_LIBRARY_DIR}/libMLIR*.a")
  list(FILTER mlir_archives EXCLUDE REGEX "Test|CAPI")
  file(GLOB llvm_archives "${LLVM_LIBRARY_DIR}/libLLVM*.a")
  if(NOT mlir_archives OR NOT llvm_archives)
    message(FATAL_ERROR "no static archives of LLVM and MLIR in ${LLVM_LIBRARY_DIR}: install llvm-22-dev and libmlir-22-dev")
  endif()
  # g++ knows lld by its plain name only: a link of that name, in a folder that -B puts first.
  file(MAKE_DIRECTORY "${PROJECT_BINARY_DIR}/lld")
  file(CREATE_LINK "${ATTNCC_LLD}" "${PROJECT_BINARY_DIR}/lld/ld.lld" SYMBOLIC)
  target_link_options(${target} PRIVATE -static-libstdc++ -static-libgcc "-B${PROJECT_BINARY_DIR}/lld" -fuse-ld=lld -Wl,--gc-sections)
  target_link_libraries(${target} PRIVATE -Wl,--start-group ${mlir_archives} ${llvm_archives} -Wl,--end-group
    -l:libz.a -l:libzstd.a ${CMAKE_DL_LIBS} pthread m)
endfunction()
