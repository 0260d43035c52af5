"""Launches decode and merge of a kernel package by itself: manifest.json, the CUDA driver, torch tensors, nothing of attncc.

usage: launch.py PACKAGE
"""
import ctypes, json, math, pathlib, re, sys, torch

folder, driver = pathlib.Path(sys.argv[1]), ctypes.CDLL("libcuda.so.1")
manifest = json.loads((folder / "manifest.json").read_text())
layer, cache = manifest["layer_classes"][0], manifest["cache_groups"][0]
half = {"dtype": {"bf16": torch.bfloat16, "f16": torch.float16}[layer["dtype"]], "device": "cuda"}
lengths, heads, kv_heads, dim = [1000, 17, 4096], layer["query_heads"], cache["kv_heads"], layer["head_dim"]
n, width = len(lengths), -(-max(lengths) // cache["page_size"])
table = torch.randperm(n * width, device="cuda").int().reshape(n, width)
k, v = torch.randn(2, n * width, cache["page_size"], kv_heads, dim, **half)
query, output, lse = torch.randn(n, heads, dim, **half), torch.empty(n, heads, dim, **half), torch.empty(n, heads, device="cuda")
start, kv_length = (torch.tensor(x, dtype=torch.int32, device="cuda") for x in (list(range(n + 1)), lengths))
bounds = {"num_sequences": n, "max_sequences": n, "num_tokens": n, "max_query_length": 1, "max_kv_length": max(lengths)}
values = {**bounds, "block_table_stride": width, "page_indptr": 0, "num_pages": n * width, "kv_heads": kv_heads,
          "query_heads": heads, "split_tokens": 0, "scale_log2": layer["scale"] * math.log2(math.e),
          "page_size": cache["page_size"], "k_dim": dim, "v_dim": dim}
for name, tensor in {"k": k, "v": v, "query": query, "output": output, "lse": lse, "query_start": start,
                     "kv_length": kv_length, "block_table": table}.items():
    parts = ("page", "token", "head") if name in "kv" else ("token", "head")
    values.update({name: tensor.data_ptr(), **{f"{name}_{part}_stride": s for part, s in zip(parts, tensor.stride())}})

def call(name, *arguments):
    if code := getattr(driver, name)(*arguments):
        sys.exit(f"{name} returned {code}")

def evaluate(rule, kernel):
    steps = manifest["split_rules"][kernel["split_rule"]]["steps"]
    splits = lambda x: -(-x // next((tokens for last, tokens in steps if x <= last), steps[-1][1]))
    most = lambda x: max(map(splits, [x, *(last for last, _ in steps if last < x)]))
    return eval(rule.replace("/", "//"), {**values, "rows": kernel.get("rows"), "units": kernel["block"][0] // 32, "max_splits": most,
                                           "group": layer["group"], "ceil_div": lambda a, b: -(-a // b)})

def tensor_map(name, kernel):
    rule, memory = kernel["tensor_maps"][name], ctypes.create_string_buffer(128 + 64)
    at = -ctypes.addressof(memory) % 64
    array = lambda number, rules, size=1: (number * len(rules))(*(size * evaluate(str(x), kernel) for x in rules))
    call("cuTensorMapEncodeTiled", ctypes.c_void_p(ctypes.addressof(memory) + at), {"f16": 6, "bf16": 9}[rule["dtype"]], len(rule["dims"]),
         ctypes.c_void_p(values[name]), array(ctypes.c_uint64, rule["dims"]), array(ctypes.c_uint64, rule["strides"], 2),
         array(ctypes.c_uint32, rule["box"]), array(ctypes.c_uint32, [1] * len(rule["box"])), 0, [0, 32, 64, 128].index(rule["swizzle"]),
         [0, 64, 128, 256].index(rule["l2_promotion"]), ["zero", "nan"].index(rule["fill"]))
    return (ctypes.c_char * 128).from_buffer(memory, at)

def launch(role):
    have = int("%d%d" % torch.cuda.get_device_capability())
    runs = lambda target: have == int(target[3:-1]) if target.endswith("a") else have >= int(target[3:])
    kernel = max((x for x in manifest["kernels"] if (x["role"], x["class"]) == (role, layer["name"]) and runs(x["target"])
                  and all(low <= bounds[name] <= high for name, (low, high) in x["load_class"].items())),
                 key=lambda x: int(re.sub(r"\D", "", x["target"])))  # of equal targets the first
    interface, module, function = manifest["interfaces"][kernel["interface"]], ctypes.c_void_p(), ctypes.c_void_p()
    if role == "decode":
        launch.workspace = torch.zeros(evaluate(interface["workspace_bytes"], kernel), dtype=torch.uint8, device="cuda")
        values["workspace"] = launch.workspace.data_ptr()
    call("cuModuleLoadDataEx", ctypes.byref(module), (folder / kernel["file"]).read_bytes(), 0, None, None)
    call("cuModuleGetFunction", ctypes.byref(function), module, kernel["entry"].encode())
    call("cuFuncSetAttribute", function, 8, kernel["shared"])  # 8: dynamic shared memory of a block
    types = {"ptr": ctypes.c_void_p, "i64": ctypes.c_int64, "i32": ctypes.c_int32, "f32": ctypes.c_float}
    held = [tensor_map(param["name"], kernel) if param["type"] == "tensor_map" else types[param["type"]](values[param["name"]])
            for param in interface["params"]]
    call("cuLaunchKernel", function, *(evaluate(rule, kernel) for rule in interface["grid"]), *kernel["block"], kernel["shared"],
         None, (ctypes.c_void_p * len(held))(*map(ctypes.addressof, held)), None)

launch("decode"), launch("merge")
for i, length in enumerate(lengths):
    keys, vals = (x[table[i].long()].flatten(0, 1)[:length].double().repeat_interleave(layer["group"], 1) for x in (k, v))
    scores = torch.einsum("hd,thd->ht", query[i].double(), keys) * layer["scale"]
    error = (torch.einsum("ht,thd->hd", scores.softmax(1), vals) - output[i]).abs().max() / vals.abs().max()
    print(f"{length} tokens: off by {error:.1e} of the largest value, lse by {(scores.logsumexp(1) - lse[i]).abs().max():.1e}")
    assert error < 4e-3
