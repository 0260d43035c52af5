"""The GPU, what is installed, and the GPU's own ceilings."""
import datetime
import importlib.metadata
import json
import pathlib
import re
import shutil
import subprocess

import torch

from compare import timing

READ_BYTES = 8 << 30
READ_SAMPLES = 20
MATRIX = 8192
DISTRIBUTIONS = ("torch", "triton", "flashinfer-python", "nvidia-cudnn-frontend", "flash-attn", "flash-attn-3",
                 "xformers", "vllm")


def driver_version():
    if shutil.which("nvidia-smi"):
        asked = subprocess.run(["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"], text=True,
                               capture_output=True)
        if asked.returncode == 0 and asked.stdout.strip():
            return asked.stdout.split()[0]
    path = pathlib.Path("/proc/driver/nvidia/version")
    found = re.search(r"Module\s+(?:for \S+\s+)?(\d[\d.]+)", path.read_text()) if path.exists() else None
    return found[1] if found else "unknown"


def versions():
    found = {"cuda": torch.version.cuda, "cudnn": torch.backends.cudnn.version()}
    for name in DISTRIBUTIONS:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def describe():
    properties = torch.cuda.get_device_properties(0)
    return {"date": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
            "device": properties.name, "capability": [properties.major, properties.minor],
            "multiprocessors": properties.multi_processor_count, "l2_bytes": properties.L2_cache_size,
            "memory_bytes": properties.total_memory, "driver": driver_version(), "versions": versions()}


def read_bandwidth(program):
    """{"gbps", "by"}: what `attncc-rt bench --read` says, or without that program the best of torch.sum."""
    if program:
        done = subprocess.run([program, "bench", "--read", "--json"], text=True, capture_output=True)
        if done.returncode == 0:
            return {"gbps": json.loads(done.stdout)["read_gbps"], "by": "attncc-rt bench --read"}
        raise RuntimeError(f"{program} bench --read: exit code {done.returncode}: {done.stderr.strip()}")
    size = min(READ_BYTES, torch.cuda.mem_get_info()[0] // 2)
    numbers = torch.ones(size // 4, dtype=torch.float32, device="cuda")
    fastest = min(timing.once(lambda: torch.sum(numbers)) for _ in range(READ_SAMPLES))
    return {"gbps": size / fastest / 1e3, "by": f"torch.sum of {size >> 20} MiB, an estimate from below"}


def matrix_product(dtype):
    """{state: {"us", "mad_us", "samples", "tflops"}} of cuBLAS's product of two square matrices."""
    a, b = (torch.randn(MATRIX, MATRIX, device="cuda", dtype=dtype) for _ in range(2))
    c = torch.empty_like(a)
    graph = timing.capture(lambda i: torch.matmul(a, b, out=c), 1)
    burst, sustained = timing.power_states(graph)
    return {state: {**vars(taken), "tflops": 2 * MATRIX ** 3 / taken.us / 1e6}
            for state, taken in (("burst", burst), ("sustained", sustained))}
