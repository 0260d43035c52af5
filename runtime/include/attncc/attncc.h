/*===- attncc.h - the C interface of the attncc runtime -----------------------===
 *
 * Public. Loads a kernel package, binds paged KV memory, plans a step and launches append, prefill,
 * decode and merge. C11 and C++; needs no CUDA header; nothing throws across it. docs/runtime.md is the
 * manual, with a program.
 *
 * Conventions
 *   Structs   start with their own size in bytes (`size`) and only grow at the end; zero means
 *             default. A smaller size, of an older program, is honoured; a larger one is
 *             INVALID_ARGUMENT unless the bytes unknown here are zero. attncc_tensor,
 *             attncc_page_copy and attncc_page_key are fixed for good.
 *   Strides   count elements; the innermost dimension's stride is 1.
 *   Ownership Every `attncc_x **` result is released once by attncc_x_release (NULL is fine), in any
 *             order: children keep their parents alive. Memory behind pointers is borrowed, never
 *             freed, never reallocated. Input structs and arrays are copied before the call returns.
 *   Threads   Device and package: any thread. kv: any thread after bind. Plan: one thread and one
 *             stream at a time. Pool: one lock inside. The message is per thread.
 *   Errors    Every call returns an attncc_status; attncc_message() has the text of this thread's
 *             last failing call. EXHAUSTED of the pool is a result: no text.
 *
 * Test: test/runtime/abi.
 *===------------------------------------------------------------------------===*/
#ifndef ATTNCC_ATTNCC_H
#define ATTNCC_ATTNCC_H

#include <stddef.h>
#include <stdint.h>

#if defined(_WIN32)
#define ATTNCC_API
#else
#define ATTNCC_API __attribute__((visibility("default")))
#endif

#define ATTNCC_VERSION_MAJOR 0
#define ATTNCC_VERSION_MINOR 1

#ifdef __cplusplus
extern "C" {
#endif

typedef int32_t attncc_status;
enum {
  ATTNCC_OK = 0,
  ATTNCC_INVALID_ARGUMENT = 1,
  ATTNCC_INVALID_PACKAGE = 2,
  ATTNCC_UNSUPPORTED = 3,
  ATTNCC_DEVICE_ERROR = 4,
  ATTNCC_EXHAUSTED = 5,
  ATTNCC_OUT_OF_MEMORY = 6,
  ATTNCC_LIMIT_EXCEEDED = 7,
  ATTNCC_CAPTURING = 8,
  ATTNCC_INTERNAL = 70
};

/* attncc_limits.policy. Invariant: a sequence's bits depend on the sequence alone. Throughput: they
   may depend on the bounds of the batch; run to run they are the same. */
enum { ATTNCC_INVARIANT = 0, ATTNCC_THROUGHPUT = 1 };
/* attncc_append_args.prologue. Fused: the class's QK norm and RoPE are applied here. None: the
   caller did; keys and values are only written. */
enum { ATTNCC_PROLOGUE_FUSED = 0, ATTNCC_PROLOGUE_NONE = 1 };

typedef struct attncc_device attncc_device;
typedef struct attncc_package attncc_package;
typedef struct attncc_kv attncc_kv;
typedef struct attncc_plan attncc_plan;
typedef struct attncc_pool attncc_pool;
typedef void *attncc_stream; /* CUstream, or NULL: the legacy default stream */
typedef void (*attncc_log_fn)(void *user, int level, const char *message);

/* code, bits, lanes: DLPack's data type (bf16 is 4/16/1, fp16 2/16/1, f32 2/32/1). */
typedef struct {
  void *data;
  int64_t shape[4], stride[4];
  int32_t rank;
  uint8_t code, bits;
  uint16_t lanes;
} attncc_tensor;

typedef struct {
  uint32_t size;
  const char *target;      /* e.g. "sm_80"; NULL: the best that the device runs */
  const char *cache_dir;   /* UNSUPPORTED if set */
  const char *expected_id; /* the package id that the caller pins (64 hex digits), or NULL */
  uint32_t jit_threads;    /* 0: as many as there are cores */
  uint32_t forbid_jit;     /* not 0: nothing is compiled; UNSUPPORTED where a kernel has no cubin that
                              the device loads */
} attncc_load_options;

/* One layer's pages. k and v are the addresses of page 0, token 0, head 0. v may lie inside k's
   allocation. Bases and all strides are multiples of 16 bytes. */
typedef struct {
  uint32_t size;
  uint32_t kv_heads; /* 0: the package's; fewer: this tensor-parallel rank's; equal in all layers */
  void *k, *v;
  int64_t num_pages;
  int64_t k_page_stride, k_token_stride, k_head_stride;
  int64_t v_page_stride, v_token_stride, v_head_stride;
  const float *k_scale, *v_scale; /* UNSUPPORTED if set */
} attncc_kv_layer;

typedef struct {
  uint32_t size;
  uint32_t max_sequences, max_tokens, max_query_length, max_kv_length;
  uint32_t policy;
  uint32_t query_heads, kv_heads; /* 0: the package's; fewer: this tensor-parallel rank's */
  uint32_t tables_are_ready;      /* no launch in flight writes tables or lengths */
} attncc_limits;

/* Counts are host bounds, padding included; pointers are device pointers.
   query_start: i32 [num_sequences + 1], offsets into the tokens; a repeated value is padding.
   kv_length:   i32 [num_sequences], this step's tokens included.
   block_table: i32 page numbers, rows of block_table_stride; or, with page_indptr (i32
                [num_sequences + 1]), the concatenated page numbers of all sequences.
   slot_mapping: i64 [num_tokens], page * page_size + offset, -1: do not write; or NULL. */
typedef struct {
  uint32_t size;
  uint32_t num_sequences, num_tokens, max_query_length, max_kv_length;
  const int32_t *query_start, *kv_length, *block_table;
  int64_t block_table_stride;
  const int32_t *page_indptr;
  const int64_t *slot_mapping;
} attncc_batch;

/* query, key, value, query_out: [tokens, heads, dim]; query_out may be query. Without prologue
   query and query_out are copied, or both are absent (data NULL). cos_sin: [positions, rotated
   dims] of the class's type or f32, the first half of a row the pairs' cosines, the second their
   sines, every factor applied; data NULL: computed here. A position outside of it is an error in
   the data: what it turns becomes NaN. position: i64 [num_tokens], or NULL: kv_length - q_len + i.
   Norm weights: [dim], given exactly if the layer has a QK norm. Without prologue cos_sin and the
   weights are absent. */
typedef struct {
  uint32_t size;
  uint32_t prologue;
  attncc_tensor query, key, value, query_out, cos_sin;
  const int64_t *position;
  const void *q_norm, *k_norm;
} attncc_append_args;

/* query, output: [tokens, heads, dim]; lse: [tokens, heads] f32, natural log, or data NULL. */
typedef struct {
  uint32_t size;
  attncc_tensor query, output, lse;
} attncc_attend_args;

ATTNCC_API const char *attncc_message(void); /* never NULL; valid until this thread's next failing call */
ATTNCC_API uint32_t attncc_version(void);    /* major << 16 | minor */
/* level 0: information (one line a load), 1: warning. NULL: silent, as at the start. */
ATTNCC_API void attncc_set_logger(attncc_log_fn logger, void *user, int level);

/* "cuda:0": a GPU, in its primary context. "sim", "sim:sm_80" or "sim:sm_90a": the simulator. */
ATTNCC_API attncc_status attncc_device_open(const char *name, attncc_device **device);
/* The simulator: makes host memory addressable, with every access checked against its bounds. A GPU:
   no effect. */
ATTNCC_API attncc_status attncc_device_register(attncc_device *device, void *memory, size_t bytes,
                                                const char *label);
ATTNCC_API attncc_status attncc_device_allocate(attncc_device *device, size_t bytes, void **memory);
/* Frees what allocate gave; ends a registration (the memory stays the caller's). */
ATTNCC_API attncc_status attncc_device_free(attncc_device *device, void *memory);
/* In the stream's order. Host memory on either side may be reused on return; between two places on a
   GPU the copy is only put on the stream. */
ATTNCC_API attncc_status attncc_copy(attncc_device *device, void *to, const void *from, size_t bytes,
                                     attncc_stream stream);

/* Verifies every file, picks the target and loads all of its kernels. */
ATTNCC_API attncc_status attncc_package_open(attncc_device *device, const char *folder,
                                             const attncc_load_options *options,
                                             attncc_package **package);
ATTNCC_API const char *attncc_package_manifest(const attncc_package *package);
/* SHA-256 of manifest.json, 64 hex digits. */
ATTNCC_API const char *attncc_package_id(const attncc_package *package);

/* One attncc_kv_layer for each layer of the group, in ascending order of layers. */
ATTNCC_API attncc_status attncc_kv_bind(attncc_package *package, const char *group,
                                        const attncc_kv_layer *layers, uint32_t num_layers,
                                        attncc_kv **kv);

ATTNCC_API attncc_status attncc_plan_create(attncc_package *package, const char *group,
                                            const attncc_limits *limits, attncc_plan **plan);
/* Exact and fixed for the plan's life. */
ATTNCC_API attncc_status attncc_plan_workspace(const attncc_plan *plan, size_t *bytes,
                                               size_t *alignment);
/* The caller's memory; its head (error word) and counters are cleared. */
ATTNCC_API attncc_status attncc_plan_set_workspace(attncc_plan *plan, void *device_memory,
                                                   size_t bytes, attncc_stream stream);
/* Once a step and group. */
ATTNCC_API attncc_status attncc_plan_update(attncc_plan *plan, const attncc_batch *batch,
                                            attncc_stream stream);
/* layer: index among the group's layers. */
ATTNCC_API attncc_status attncc_append(attncc_plan *plan, attncc_kv *kv, uint32_t layer,
                                       const attncc_append_args *args, attncc_stream stream);
ATTNCC_API attncc_status attncc_attend(attncc_plan *plan, attncc_kv *kv, uint32_t layer,
                                       const attncc_attend_args *args, attncc_stream stream);
/* Joins results of the same queries over disjoint sets of keys: outputs [tokens, heads, dim] of 16
   bits and lses [tokens, heads] f32, 1 to 16 of each, into args->output and args->lse (natural, or
   data NULL), which may be one of them. args->query is not used. The lses are natural, or base 2 if
   lse_is_log2 is not 0; -inf (or +inf) marks a part without keys, whose output row is not read. */
ATTNCC_API attncc_status attncc_merge(attncc_package *package, const attncc_tensor *outputs,
                                      const attncc_tensor *lses, uint32_t parts, int lse_is_log2,
                                      const attncc_attend_args *args, attncc_stream stream);
/* Waits for the stream; reads and clears the error word. LIMIT_EXCEEDED: a length was above its
   bound, a page number out of range or a position outside of cos_sin; the rows of those sequences
   are NaN. */
ATTNCC_API attncc_status attncc_plan_check(attncc_plan *plan, attncc_stream stream);

/* Page pool: bookkeeping on the host. A page number is one slot in every layer of a cache group. */
typedef uint64_t attncc_sequence; /* never 0, never reused */
typedef struct {
  int32_t source, target;
} attncc_page_copy;
/* The caller's name of a full page: a hash of its tokens and of the key of the page before it. */
typedef struct {
  uint64_t lo, hi;
} attncc_page_key;
typedef struct {
  uint32_t size;
  int64_t total, free, used; /* free + used + cached == total */
  int64_t cached;            /* published, in no sequence */
  int64_t shared;            /* of the used: in more than one sequence */
  int64_t sequences;
} attncc_pool_stats;

/* Lays num_pages pages of every layer of the group out in one allocation of *bytes at base, a
   multiple of 256 bytes. `layers` has one element for each layer of the group, each with its size and
   kv_heads set. base NULL: only *bytes is written; layers may be NULL (the package's kv_heads). */
ATTNCC_API attncc_status attncc_pool_layout(const attncc_package *package, const char *group,
                                            int64_t num_pages, void *base, attncc_kv_layer *layers,
                                            size_t *bytes);
/* group NULL: all groups of the package, which must have pages of equal bytes. */
ATTNCC_API attncc_status attncc_pool_create(const attncc_package *package, const char *group,
                                            int64_t num_pages, attncc_pool **pool);
ATTNCC_API attncc_status attncc_pool_add(attncc_pool *pool, attncc_sequence *sequence);
ATTNCC_API attncc_status attncc_pool_remove(attncc_pool *pool, attncc_sequence sequence);
/* Makes room for `tokens` more, all or nothing. *num_copies: room in `copies` (as many as the pool
   has groups is always enough), then the number of pairs to copy before the append. EXHAUSTED: the
   pool is as before and *missing_pages (may be NULL) says how many pages it lacks. */
ATTNCC_API attncc_status attncc_pool_extend(attncc_pool *pool, attncc_sequence sequence,
                                            int64_t tokens, attncc_page_copy *copies,
                                            uint32_t *num_copies, int64_t *missing_pages);
/* The child shares the pages of the first prefix_tokens tokens. */
ATTNCC_API attncc_status attncc_pool_fork(attncc_pool *pool, attncc_sequence sequence,
                                          int64_t prefix_tokens, attncc_sequence *child);
/* Keeps the first `tokens` tokens. */
ATTNCC_API attncc_status attncc_pool_truncate(attncc_pool *pool, attncc_sequence sequence,
                                              int64_t tokens);
/* Gives the sequence's first n pages, which must be full, these keys. A key that is published already
   stays with its page; a page that has another key is INVALID_ARGUMENT. Published pages are never
   written; without users they are cached until attncc_pool_extend needs them, oldest first. */
ATTNCC_API attncc_status attncc_pool_publish(attncc_pool *pool, attncc_sequence sequence,
                                             const attncc_page_key *keys, uint32_t n);
/* A new sequence of the pages published under keys[0], keys[1], … up to the first that is not; its
   length (attncc_pool_length) may be 0. */
ATTNCC_API attncc_status attncc_pool_match(attncc_pool *pool, const attncc_page_key *keys, uint32_t n,
                                           attncc_sequence *sequence);
/* `group`: index among the pool's groups. Entries of a row past its last page become 0. */
ATTNCC_API attncc_status attncc_pool_block_table(const attncc_pool *pool, uint32_t group,
                                                 const attncc_sequence *sequences, uint32_t n,
                                                 int32_t *rows, int64_t stride);
/* The same pages one after another, and page_indptr [n + 1]. *num_pages: room in `pages`, then the
   number written; INVALID_ARGUMENT with the number needed where the room is too small. */
ATTNCC_API attncc_status attncc_pool_page_list(const attncc_pool *pool, uint32_t group,
                                               const attncc_sequence *sequences, uint32_t n,
                                               int32_t *pages, int64_t *num_pages,
                                               int32_t *page_indptr);
/* Slots (page * page_size + offset) of tokens first to first + n - 1. */
ATTNCC_API attncc_status attncc_pool_slots(const attncc_pool *pool, uint32_t group,
                                           attncc_sequence sequence, int64_t first, int64_t n,
                                           int64_t *slots);
ATTNCC_API attncc_status attncc_pool_length(const attncc_pool *pool, attncc_sequence sequence,
                                            int64_t *tokens);
ATTNCC_API attncc_status attncc_pool_get_stats(const attncc_pool *pool, attncc_pool_stats *stats);
/* Copies pages in all layers of kv, in order; the pairs lie in host memory. */
ATTNCC_API attncc_status attncc_copy_pages(attncc_kv *kv, const attncc_page_copy *copies, uint32_t n,
                                           attncc_stream stream);

ATTNCC_API void attncc_device_release(attncc_device *device);
ATTNCC_API void attncc_package_release(attncc_package *package);
ATTNCC_API void attncc_kv_release(attncc_kv *kv);
ATTNCC_API void attncc_plan_release(attncc_plan *plan);
ATTNCC_API void attncc_pool_release(attncc_pool *pool);

#ifdef __cplusplus
}
#endif
#endif
