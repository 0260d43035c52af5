"""An engine's attention over the C interface of attncc, by ctypes alone: its own cache, batches, stream and CUDA graph.

usage: engine.py PACKAGE [DEVICE] [LIBRARY]     DEVICE: sim (the default, NumPy arrays) or cuda:0 (torch tensors)

K and V interleaved in one tensor a layer, query, key and value as views of a packed qkv tensor, padded output rows, pages
in random order, garbage in unused table entries, one padding sequence. Even layers hand over the engine's table of angles,
odd layers rotate by themselves and append without prologue. A prompt of each sequence is appended, then three
decode steps of one or more tokens are attended to; with torch on a stream of its own, the last two as replays of a CUDA
graph. Every output and log-sum-exp is compared with a plain softmax in fp64. Exit code 77: DEVICE is not here.
"""
import ctypes
import json
import sys
from ctypes import POINTER, Structure, byref, c_char_p, c_float, c_int32, c_int64, c_uint8, c_uint16, c_uint32, c_void_p

import numpy as np


def struct(name, sized, **fields):
    return type(name, (Structure,), {"_fields_": [("size", c_uint32)] * sized + list(fields.items())})


def numbers(kind, names):
    return {name: kind for name in names.split()}


# attncc.h, field by field.
Tensor = struct("Tensor", False, data=c_void_p, shape=c_int64 * 4, stride=c_int64 * 4, rank=c_int32, code=c_uint8,
                bits=c_uint8, lanes=c_uint16)
KvLayer = struct("KvLayer", True, kv_heads=c_uint32, k=c_void_p, v=c_void_p, **numbers(c_int64, "num_pages k_page_stride "
                 "k_token_stride k_head_stride v_page_stride v_token_stride v_head_stride"),
                 **numbers(c_void_p, "k_scale v_scale"))
Limits = struct("Limits", True, **numbers(c_uint32, "max_sequences max_tokens max_query_length max_kv_length policy "
                "query_heads kv_heads tables_are_ready"))
Batch = struct("Batch", True, **numbers(c_uint32, "num_sequences num_tokens max_query_length max_kv_length"),
               **numbers(c_void_p, "query_start kv_length block_table"), block_table_stride=c_int64,
               **numbers(c_void_p, "page_indptr slot_mapping"))
AppendArgs = struct("AppendArgs", True, prologue=c_uint32, **numbers(Tensor, "query key value query_out cos_sin"),
                    **numbers(c_void_p, "position q_norm k_norm"))
AttendArgs = struct("AttendArgs", True, **numbers(Tensor, "query output lse"))

device_name = sys.argv[2] if len(sys.argv) > 2 else "sim"
library = ctypes.CDLL(sys.argv[3] if len(sys.argv) > 3 else "libattncc_runtime.so.0")
library.attncc_message.restype = library.attncc_package_manifest.restype = c_char_p


def call(name, *arguments):
    status = getattr(library, "attncc_" + name)(*arguments)
    if status:
        print(f"{library.attncc_message().decode()} (status {status})", file=sys.stderr)
        sys.exit(77 if name == "device_open" and status == 3 else 1)


def create(name, *arguments):
    handle = c_void_p()
    call(name, *arguments, byref(handle))
    return handle


# Memory: NumPy arrays that are registered with the simulator, or torch tensors. 16-bit numbers are kept as their bits
# on the host, as NumPy has no bf16.
on_gpu = device_name.startswith("cuda")
if on_gpu:
    try:
        import torch
    except ImportError:
        sys.exit(print("torch is not installed", file=sys.stderr) or 77)
    if not torch.cuda.is_available():
        sys.exit(print("torch finds no GPU", file=sys.stderr) or 77)
device = create("device_open", device_name.encode())
package = create("package_open", device, sys.argv[1].encode(), None)
manifest = json.loads(library.attncc_package_manifest(package))
layer_class, group = manifest["layer_classes"][0], manifest["cache_groups"][0]
bf16 = layer_class["dtype"] == "bf16"


def to_bits(x):
    if not bf16:
        return np.asarray(x, np.float16).view(np.uint16)
    wide = np.asarray(x, np.float32).view(np.uint32)
    return ((wide + 0x7FFF + (wide >> 16 & 1)) >> 16).astype(np.uint16)


def to_f64(bits):
    return ((bits.astype(np.uint32) << 16).view(np.float32) if bf16 else bits.view(np.float16)).astype(np.float64)


if on_gpu:
    place, stream = torch.device(device_name), torch.cuda.Stream(device_name)
    torch.cuda.set_stream(stream)
    kinds = {"half": torch.bfloat16 if bf16 else torch.float16, "f32": torch.float32, "i32": torch.int32, "u8": torch.uint8}

    def empty(shape, kind):
        return torch.empty(shape, dtype=kinds[kind], device=place)

    def write(view, data):
        half = view.dtype in (torch.bfloat16, torch.float16)
        host = torch.from_numpy(np.ascontiguousarray(data.view(np.int16) if half else data))
        view.copy_(host.view(view.dtype) if half else host)

    def read(view):
        host = view.contiguous().cpu()
        return host.view(torch.int16).numpy().view(np.uint16) if view.element_size() == 2 else host.numpy()

    def address(view):
        return view.data_ptr()

    def strides(view):
        return view.stride()

    def by_head(qkv):
        return qkv[:, :-8].unflatten(1, (-1, dim))
else:
    stream = None
    kinds = {"half": np.uint16, "f32": np.float32, "i32": np.int32, "u8": np.uint8}

    def empty(shape, kind):
        memory = np.empty(shape, kinds[kind])
        call("device_register", device, c_void_p(memory.ctypes.data), ctypes.c_size_t(memory.nbytes), kind.encode())
        return memory

    def write(view, data):
        view[...] = data

    def read(view):
        return view.copy()

    def address(view):
        return view.ctypes.data

    def strides(view):
        return [bytes // view.itemsize for bytes in view.strides]

    def by_head(qkv):
        return np.lib.stride_tricks.as_strided(qkv, (len(qkv), qkv.shape[1] // dim, dim), (qkv.strides[0], 2 * dim, 2))


def tensor(view):
    half = str(view.dtype)[-2:] == "16"
    rank = len(view.shape)
    code, bits = ((4 if bf16 else 2), 16) if half else (2, 32)
    return Tensor(address(view), (c_int64 * 4)(*view.shape), (c_int64 * 4)(*strides(view)), rank, code, bits, 1)


# The engine's shapes and memory.
layers = sum(last - first + 1 for first, last in group["layers"])
query_heads, kv_heads, dim = layer_class["query_heads"], group["kv_heads"], layer_class["head_dim"]
page_size, pages, max_kv = group["page_size"], 128, 128
prompts, sequences, max_query, max_tokens = [5, 61, 30], 4, 3, 8  # the fourth sequence is padding
counts = [[1, 3, 2], [3, 1, 1], [1, 1, 3]]  # tokens of each sequence in the three decode steps
table_width = -(-max_kv // page_size)
rng = np.random.default_rng(20261124)

cache = [empty((pages, 2, page_size, kv_heads, dim), "half") for _ in range(layers)]
kv_layers = (KvLayer * layers)()
for i, pair in enumerate(cache):
    write(pair, np.full(tuple(pair.shape), 0x7FFF, np.uint16))  # NaN wherever nothing was appended
    page, _, token, head, _ = strides(pair)
    kv_layers[i] = KvLayer(ctypes.sizeof(KvLayer), 0, address(pair[:, 0]), address(pair[:, 1]), pages, page, token, head,
                           page, token, head)
kv = create("kv_bind", package, group["name"].encode(), kv_layers, layers)
plan = create("plan_create", package, group["name"].encode(),
              byref(Limits(ctypes.sizeof(Limits), sequences, sum(prompts), max(prompts), max_kv)))
size, alignment = ctypes.c_size_t(), ctypes.c_size_t()
call("plan_workspace", plan, byref(size), byref(alignment))
workspace = empty(size.value + alignment.value, "u8")
stream_pointer = c_void_p(stream.cuda_stream if on_gpu else None)
call("plan_set_workspace", plan, c_void_p(-(-address(workspace) // alignment.value) * alignment.value), size, stream_pointer)

query_start, kv_length = empty((sequences + 1,), "i32"), empty((sequences,), "i32")
block_table = empty((sequences, table_width), "i32")
tables = np.full((sequences, table_width), 0x7FFFFFFF, np.int32)
for row, length, order in zip(tables, prompts, rng.permutation(pages).reshape(sequences, -1)):
    used = -(-(length + sum(max(step) for step in counts)) // page_size)
    row[:used] = order[:used]
write(block_table, tables)


rope = layer_class["prologue"]["rope"]
if rope:  # the engine's own angles, f32: cosines, then sines
    table_angles = np.arange(max_kv)[:, None] * np.asarray(rope["inverse_frequencies"], np.float64)
    cos_sin = empty((max_kv, rope["dim"]), "f32")
    write(cos_sin, (np.hstack([np.cos(table_angles), np.sin(table_angles)]) * rope["attention_factor"]).astype(np.float32))


def rotated_by_engine(layer):
    return bool(rope) and layer % 2 == 1


def buffers(tokens):
    """For every layer: qkv rows that are 8 elements longer than they need, with their views, output and lse."""
    for _ in range(layers):
        qkv = empty((tokens, (query_heads + 2 * kv_heads) * dim + 8), "half")
        heads = by_head(qkv)
        padded, lse = empty((tokens, query_heads + 1, dim), "half"), empty((tokens, query_heads), "f32")
        yield heads, (heads[:, :query_heads], heads[:, query_heads:-kv_heads], heads[:, -kv_heads:]), padded[:, :-1], lse


def launch(memory, tokens, longest, attend):
    """What an engine captures: no allocation, no synchronisation, every number here a bound."""
    batch = Batch(ctypes.sizeof(Batch), sequences, tokens, longest, max_kv, address(query_start), address(kv_length),
                  address(block_table), table_width)
    call("plan_update", plan, byref(batch), stream_pointer)
    for layer, (_, (q, k, v), output, lse) in enumerate(memory):
        append = AppendArgs(ctypes.sizeof(AppendArgs), key=tensor(k), value=tensor(v))
        if rotated_by_engine(layer):
            append.prologue = 1  # ATTNCC_PROLOGUE_NONE: k and v are written as they are, q is not needed
        else:
            append.query = append.query_out = tensor(q)
            if rope:
                append.cos_sin = tensor(cos_sin)
        call("append", plan, kv, layer, byref(append), stream_pointer)
        if attend:
            attention = AttendArgs(ctypes.sizeof(AttendArgs), tensor(q), tensor(output), tensor(lse))
            call("attend", plan, kv, layer, byref(attention), stream_pointer)


# The reference.
def rotate(x, positions):
    if not rope:
        return x
    n = rope["dim"] // 2
    angle = positions[:, None, None] * np.asarray(rope["inverse_frequencies"], np.float64)
    low, high = np.s_[..., :n], np.s_[..., n : 2 * n]
    if rope["pairing"] == "interleaved":
        low, high = np.s_[..., 0 : 2 * n : 2], np.s_[..., 1 : 2 * n : 2]
    result, c, s = x.copy(), np.cos(angle) * rope["attention_factor"], np.sin(angle) * rope["attention_factor"]
    result[low], result[high] = x[low] * c - x[high] * s, x[high] * c + x[low] * s
    return to_f64(to_bits(result))


def softmax_attention(q, k, v):
    """q [tokens, heads, dim] are the last of the keys; returns output and natural log-sum-exp."""
    k, v = (np.repeat(x, query_heads // kv_heads, axis=1) for x in (k, v))
    scores = np.einsum("ihd,jhd->hij", q, k) * layer_class["scale"]
    scores += np.where(np.arange(len(k)) > np.arange(len(k) - len(q), len(k))[:, None], -np.inf, 0)
    lse = np.log(np.exp(scores).sum(-1))
    return np.einsum("hij,jhd->ihd", np.exp(scores - lse[..., None]), v), lse.T


history = [[[np.empty((0, kv_heads, dim))] * 2 for _ in prompts] for _ in range(layers)]
lengths, furthest = np.zeros(sequences, np.int32), 0.0


def step(memory, tokens, run, check):
    """Fills the inputs, runs, and compares."""
    global furthest
    starts = np.concatenate([[0], np.cumsum(tokens)]).astype(np.int32)
    lengths[: len(prompts)] += np.asarray(tokens, np.int32)
    write(query_start, np.append(starts, starts[-1]))  # padding: no tokens
    write(kv_length, lengths)
    given = [to_bits(rng.standard_normal(tuple(heads.shape))) for heads, *_ in memory]
    position_of = np.concatenate([np.arange(length - count, length) for length, count in zip(lengths, tokens)])
    for layer, ((heads, _, output, _), bits) in enumerate(zip(memory, given)):
        handed_over = bits.copy()
        if rotated_by_engine(layer):
            turned = np.s_[: len(position_of), :-kv_heads]
            handed_over[turned] = to_bits(rotate(to_f64(bits[turned]), position_of))
        write(heads, handed_over)
        write(output, np.full(tuple(output.shape), 0x7FFF, np.uint16))
    run()
    call("plan_check", plan, stream_pointer)
    for layer, (_, _, output, lse) in enumerate(memory):
        outputs, lses, x = to_f64(read(output)), read(lse), to_f64(given[layer])
        for s, first, last in zip(range(len(prompts)), starts, starts[1:]):
            positions = np.arange(lengths[s] - (last - first), lengths[s])
            q, k, v = x[first:last, :query_heads], x[first:last, query_heads:-kv_heads], x[first:last, -kv_heads:]
            keys, values = history[layer][s]
            keys, values = history[layer][s] = [np.concatenate([keys, rotate(k, positions)]), np.concatenate([values, v])]
            if check:
                expected, expected_lse = softmax_attention(rotate(q, positions), keys, values)
                errors = (abs(outputs[first:last] - expected).max() / abs(expected).max(),
                          abs(lses[first:last] - expected_lse).max())
                furthest = max(furthest, *errors) if np.isfinite(errors).all() else np.inf


prompt_memory, memory = list(buffers(sum(prompts))), list(buffers(max_tokens))
step(prompt_memory, prompts, lambda: launch(prompt_memory, sum(prompts), max(prompts), False), False)
step(memory, counts[0], lambda: launch(memory, max_tokens, max_query, True), True)
replays = 0
if on_gpu:
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph, stream=stream):
        launch(memory, max_tokens, max_query, True)
for tokens in counts[1:]:
    step(memory, tokens, graph.replay if on_gpu else lambda: launch(memory, max_tokens, max_query, True), True)
    replays += on_gpu

for name, handle in (("plan", plan), ("kv", kv), ("package", package), ("device", device)):
    getattr(library, f"attncc_{name}_release")(handle)
tolerance = 2.0**-6 if bf16 else 2.0**-9
print(f"{device_name}: {layers} layers, {len(counts)} steps, {replays} of them graph replays: "
      f"furthest from softmax {furthest:.5f}, allowed {tolerance:.5f}")
sys.exit(not furthest <= tolerance)
