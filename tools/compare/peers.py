"""Attention libraries that a user may have. Each is found by import; none is needed."""
import dataclasses
import importlib

import torch

WORKSPACE_BYTES = 512 << 20  # FlashInfer's


@dataclasses.dataclass(frozen=True)
class Peer:
    """One way to call a library.

    column: under which the table shows it; variants share one, and the fastest is shown. kv: "paged" or "dense".
    serves(shape): whether the library has such a call at all. prepare(inputs) does what a plan does and returns
    run(i), which attends over input set i and returns the output, [tokens, query_heads, head_dim] or the tokens by
    sequence.
    """
    name: str
    column: str
    library: str
    kv: str
    table: str
    prepare: object
    serves: object = lambda shape: True


class NotInstalled(Exception):
    """A library that is not here."""


def module(*names):
    """The first module that can be imported."""
    reasons = []
    for name in names:
        try:
            return importlib.import_module(name)
        except Exception as error:  # a library built for another torch or CUDA fails in many ways
            reasons.append(f"{name}: {error}")
    raise NotInstalled("; ".join(reasons))


workspaces = {}


def workspace(name):
    """Zeros that stay one peer's: allocated once."""
    if name not in workspaces:
        workspaces[name] = torch.zeros(WORKSPACE_BYTES, dtype=torch.uint8, device="cuda")
    return workspaces[name]


def by_sequence(inputs, x):
    """[batch, tokens of each, heads, head_dim] of a packed tensor."""
    return x.view(inputs.shape.batch, -1, *x.shape[1:])


# PyTorch

def sdpa(backend):
    def prepare(inputs):
        from torch.nn.attention import SDPBackend, sdpa_kernel
        from torch.nn.functional import scaled_dot_product_attention
        shape = inputs.shape
        masked = shape.causal and shape.query_tokens > 1  # one query sees every key

        def run(i):
            query, key, value = (by_sequence(inputs, x[i]).transpose(1, 2)
                                 for x in (inputs.query, inputs.key, inputs.value))
            with sdpa_kernel(getattr(SDPBackend, backend)):
                output = scaled_dot_product_attention(query, key, value, is_causal=masked, enable_gqa=shape.group > 1)
            return output.transpose(1, 2)
        return run
    return prepare


def dense_square(shape):
    """PyTorch's causal mask is aligned top-left: as many keys as queries, or one query."""
    return shape.uniform and shape.query_tokens in (1, shape.longest)


# FlashInfer

def plan_types(inputs):
    return {"q_data_type": inputs.dtype, "kv_data_type": inputs.dtype}


def heads_of(shape):
    return shape.query_heads, shape.kv_heads, shape.head_dim


def flashinfer_decode(name, tensor_cores, backend, for_graph):
    """for_graph: planned as for a graph that serves other lengths too; else for these lengths alone."""
    def prepare(inputs):
        flashinfer, shape = module("flashinfer"), inputs.shape
        pages = inputs.page_indptr, inputs.page_indices, inputs.last_page
        buffers = dict(zip(("paged_kv_indptr_buffer", "paged_kv_indices_buffer", "paged_kv_last_page_len_buffer"),
                           (x.clone() for x in pages)))
        wrapper = flashinfer.BatchDecodeWithPagedKVCacheWrapper(
            workspace(name), "NHD", use_tensor_cores=tensor_cores, backend=backend,
            **({"use_cuda_graph": True, **buffers} if for_graph else {}))
        more = {"q_len_per_req": shape.query_tokens} if shape.query_tokens > 1 else {}
        if backend == "cudnn":
            more["block_tables"] = inputs.block_table
        wrapper.plan(*pages, *heads_of(shape), shape.page_size, **plan_types(inputs), **more)
        return lambda i: wrapper.run(inputs.query[i], (inputs.key_pages[i], inputs.value_pages[i]), out=inputs.output)
    return prepare


def flashinfer_trtllm(inputs):
    decode, shape = module("flashinfer.decode"), inputs.shape
    scratch, output = workspace("fi-trtllm"), inputs.output
    more = {}
    if shape.query_tokens > 1:
        output = by_sequence(inputs, output)
        masks = torch.zeros(shape.batch, shape.query_tokens, 2, dtype=torch.int32)
        masks[:, :, 0] = 2 ** (torch.arange(shape.query_tokens, dtype=torch.int32) + 1) - 1  # bit j: sees new token j
        more = {"q_len_per_req": shape.query_tokens, "mask": masks.to(torch.uint16).cuda()}
    return lambda i: decode.trtllm_batch_decode_with_kv_cache(
        inputs.query[i], (inputs.key_pages[i], inputs.value_pages[i]), scratch, inputs.block_table, inputs.kv_lengths,
        shape.longest, bmm1_scale=shape.head_dim ** -0.5, bmm2_scale=1.0, kv_layout="NHD", out=output, **more)


def flashinfer_paged(name, backend):
    def prepare(inputs):
        flashinfer, shape = module("flashinfer"), inputs.shape
        wrapper = flashinfer.BatchPrefillWithPagedKVCacheWrapper(workspace(name), "NHD", backend=backend)
        wrapper.plan(inputs.query_start, inputs.page_indptr, inputs.page_indices, inputs.last_page, *heads_of(shape),
                     shape.page_size, causal=shape.causal, **plan_types(inputs))
        return lambda i: wrapper.run(inputs.query[i], (inputs.key_pages[i], inputs.value_pages[i]), out=inputs.output)
    return prepare


def flashinfer_ragged(name, backend):
    def prepare(inputs):
        flashinfer, shape = module("flashinfer"), inputs.shape
        wrapper = flashinfer.BatchPrefillWithRaggedKVCacheWrapper(workspace(name), "NHD", backend=backend)
        wrapper.plan(inputs.query_start, inputs.kv_start, *heads_of(shape), causal=shape.causal, **plan_types(inputs))
        return lambda i: wrapper.run(inputs.query[i], inputs.key[i], inputs.value[i], out=inputs.output)
    return prepare


# FlashAttention-3. Two builds of it register operators with PyTorch, whose arguments are nearly the same.

FA3_MODULES = {"flash_attn_3": ("flash_attn_interface", "xformers.ops.fmha.flash3"),
               "_vllm_fa3_C": ("vllm.vllm_flash_attn",)}
NEUTRAL = {"window_size_left": -1, "window_size_right": -1, "softcap": 0.0, "is_rotary_interleaved": True,
           "sm_margin": 0, "max_seqlen_k_new": 0, "has_softcap": False, "num_splits": 0, "cp_world_size": 1,
           "cp_rank": 0, "attention_chunk": 0}


def operators(namespace):
    """The operators of a FlashAttention-3 that is loaded already, or of one that can be imported."""
    if not hasattr(getattr(torch.ops, namespace), "fwd"):
        module(*FA3_MODULES[namespace])
    if not hasattr(getattr(torch.ops, namespace), "fwd"):
        raise NotInstalled(f"{' and '.join(FA3_MODULES[namespace])} register no {namespace}.fwd")
    return getattr(torch.ops, namespace)


def by_name(operator, **given):
    """Calls with the given arguments, which it must have, and neutral ones for those without a default."""
    arguments = {}
    unknown = set(given) - {argument.name for argument in operator.default._schema.arguments}
    if unknown:
        raise TypeError(f"{operator} has no {', '.join(sorted(unknown))}")
    for argument in operator.default._schema.arguments:
        if argument.name in given:
            arguments[argument.name] = given[argument.name]
        elif not argument.has_default_value():
            arguments[argument.name] = NEUTRAL.get(argument.name)
    return operator(**arguments)


def flash3(namespace, kv, packed):
    """packed: sequences one after another, with their starts; else as a batch of equal lengths."""
    def prepare(inputs):
        ops, shape = operators(namespace), inputs.shape
        form = (lambda x: x) if packed else (lambda x: by_sequence(inputs, x))
        starts = {"cu_seqlens_q": inputs.query_start, "max_seqlen_q": shape.query_tokens} if packed else {}
        same = {"softmax_scale": shape.head_dim ** -0.5, "is_causal": shape.causal and shape.query_tokens > 1}
        if kv == "paged":
            metadata = by_name(ops.get_scheduler_metadata, batch_size=shape.batch, max_seqlen_q=shape.query_tokens,
                               max_seqlen_k=shape.longest, num_heads=shape.query_heads, num_heads_k=shape.kv_heads,
                               headdim=shape.head_dim, headdim_v=shape.head_dim, qkv_dtype=inputs.dtype,
                               seqused_k=inputs.kv_lengths, cu_seqlens_q=starts.get("cu_seqlens_q"),
                               page_size=shape.page_size, is_causal=same["is_causal"])
            same |= {"seqused_k": inputs.kv_lengths, "page_table": inputs.block_table, "scheduler_metadata": metadata}
            if packed:
                same["max_seqlen_k"] = shape.longest
            keys, values, kv_form = inputs.key_pages, inputs.value_pages, lambda x: x
        else:
            same["num_splits"] = 1
            if packed:
                same |= {"cu_seqlens_k": inputs.kv_start, "max_seqlen_k": shape.longest}
            keys, values, kv_form = inputs.key, inputs.value, form

        def run(i):
            by_name(ops.fwd, q=form(inputs.query[i]), k=kv_form(keys[i]), v=kv_form(values[i]), out=form(inputs.output),
                    **starts, **same)
            return inputs.output
        return run
    return prepare


# FlashAttention-2

def flash2(inputs):
    flash_attn, shape = module("flash_attn"), inputs.shape

    def run(i):
        query, key, value = (by_sequence(inputs, x[i]) for x in (inputs.query, inputs.key, inputs.value))
        if shape.table == "decode":
            return flash_attn.flash_attn_with_kvcache(query, key, value, cache_seqlens=inputs.kv_lengths, causal=True)
        return flash_attn.flash_attn_func(query, key, value, causal=shape.causal)
    return run


def uniform(shape):
    return shape.uniform


def one_token(shape):
    return shape.query_tokens == 1


def several_tokens(shape):
    return shape.query_tokens > 1


PEERS = [
    Peer("sdpa-cudnn", "sdpa-cudnn", "cudnn", "dense", "prefill", sdpa("CUDNN_ATTENTION"), dense_square),
    Peer("sdpa-flash", "sdpa-flash", "flash-attention", "dense", "prefill", sdpa("FLASH_ATTENTION"), dense_square),
    Peer("fa3", "fa3", "flash-attention", "dense", "prefill", flash3("flash_attn_3", "dense", False), uniform),
    Peer("fa3-varlen", "fa3", "flash-attention", "dense", "prefill", flash3("flash_attn_3", "dense", True)),
    Peer("fa3-paged", "fa3-paged", "flash-attention", "paged", "prefill", flash3("flash_attn_3", "paged", False)),
    Peer("fa3-vllm", "fa3-vllm", "flash-attention", "dense", "prefill", flash3("_vllm_fa3_C", "dense", True)),
    Peer("fa3-vllm-paged", "fa3-vllm-paged", "flash-attention", "paged", "prefill",
         flash3("_vllm_fa3_C", "paged", True)),
    Peer("fi-ragged-fa3", "fi-ragged", "flashinfer", "dense", "prefill", flashinfer_ragged("fi-ragged-fa3", "fa3")),
    Peer("fi-ragged-fa2", "fi-ragged", "flashinfer", "dense", "prefill", flashinfer_ragged("fi-ragged-fa2", "fa2")),
    Peer("fi-paged-fa3", "fi-paged", "flashinfer", "paged", "prefill", flashinfer_paged("fi-paged-fa3", "fa3")),
    Peer("fi-paged-fa2", "fi-paged", "flashinfer", "paged", "prefill", flashinfer_paged("fi-paged-fa2", "fa2")),
    Peer("fa2", "fa2", "flash-attention", "dense", "prefill", flash2, uniform),

    Peer("fi-tc", "fi-tc", "flashinfer", "paged", "decode", flashinfer_decode("fi-tc", True, "fa2", True)),
    Peer("fi-tc-exact", "fi-tc", "flashinfer", "paged", "decode", flashinfer_decode("fi-tc-exact", True, "fa2", False)),
    Peer("fi-cc", "fi-cc", "flashinfer", "paged", "decode", flashinfer_decode("fi-cc", False, "auto", True), one_token),
    Peer("fi-cc-exact", "fi-cc", "flashinfer", "paged", "decode",
         flashinfer_decode("fi-cc-exact", False, "auto", False), one_token),
    Peer("fi-trtllm", "fi-trtllm", "flashinfer", "paged", "decode", flashinfer_trtllm),
    Peer("fi-cudnn", "fi-cudnn", "cudnn", "paged", "decode", flashinfer_decode("fi-cudnn", False, "cudnn", True)),
    Peer("fi-paged-fa2", "fi-paged", "flashinfer", "paged", "decode", flashinfer_paged("fi-paged-fa2", "fa2"),
         several_tokens),
    Peer("fi-paged-fa3", "fi-paged", "flashinfer", "paged", "decode", flashinfer_paged("fi-paged-fa3", "fa3"),
         several_tokens),
    Peer("fa3", "fa3", "flash-attention", "paged", "decode", flash3("flash_attn_3", "paged", False)),
    Peer("fa3-vllm", "fa3-vllm", "flash-attention", "paged", "decode", flash3("_vllm_fa3_C", "paged", True)),
    Peer("sdpa-cudnn", "sdpa-cudnn*", "cudnn", "dense", "decode", sdpa("CUDNN_ATTENTION"),
         lambda shape: uniform(shape) and one_token(shape)),
    Peer("sdpa-flash", "sdpa-flash*", "flash-attention", "dense", "decode", sdpa("FLASH_ATTENTION"),
         lambda shape: uniform(shape) and one_token(shape)),
    Peer("fa2", "fa2*", "flash-attention", "dense", "decode", flash2, uniform),
]
