/* The C header in C11: sizes and offsets of every struct. An older program's structs stay as they are. */
#include <attncc/attncc.h>

#define SIZE(type, bytes) _Static_assert(sizeof(type) == (bytes), "size of " #type)
#define OFFSET(type, field, bytes)                                                                 \
  _Static_assert(offsetof(type, field) == (bytes), "offset of " #type "." #field)
#include "test/runtime/abi/Layout.inc"

int attncc_layout_in_c(void) { return (int)sizeof(attncc_append_args); }
