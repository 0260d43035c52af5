"""Every kernel that attncc emits assembles with ptxas and spills no register.

usage: ptxas.py ATTNCC MODELS
Compiles every config of the folder that is compiled at all, and variants of a spec: each head size, type,
group and page size that takes another path through the compiler. ptxas is $ATTNCC_PTXAS, the one in PATH or
the CUDA Toolkit's; without it the test is skipped (exit 77), and under CI it fails.
"""
import concurrent.futures
import json
import os
import pathlib
import re
import shutil
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).parent / "Inputs"))
from driver_test import check, compile_package, finish, run

attncc, models = sys.argv[1], pathlib.Path(sys.argv[2])
ptxas = os.environ.get("ATTNCC_PTXAS") or shutil.which("ptxas") or shutil.which("/usr/local/cuda/bin/ptxas")
if not ptxas:
    print("no ptxas here: ATTNCC_PTXAS is not set, and it is neither in PATH nor in /usr/local/cuda/bin")
    sys.exit(1 if os.environ.get("CI") else 77)

# head_dim, query heads, kv heads, dtype, options
VARIANTS = [
    (16, 8, 2, "bf16", []),
    (64, 8, 8, "f16", ["--page-size=1"]),
    (64, 7, 1, "bf16", ["--page-size=256"]),
    (80, 8, 2, "bf16", []),
    (96, 8, 1, "f16", ["--page-size=1"]),
    (112, 8, 2, "f16", ["--kv-order=HND"]),
    (128, 8, 1, "f16", ["--page-size=1"]),
    (128, 7, 1, "bf16", ["--page-size=32"]),
    (112, 8, 2, "bf16", ["--page-size=2"]),
    (208, 8, 1, "bf16", []),
    (224, 16, 1, "bf16", []),
    (240, 16, 1, "bf16", []),
    (256, 4, 2, "bf16", ["--page-size=64"]),
    (256, 16, 2, "bf16", ["--page-size=16"]),
    (256, 32, 1, "bf16", ["--page-size=4"]),
    (256, 8, 1, "bf16", ["--page-size=1"]),
    (256, 8, 8, "f16", ["--page-size=256"]),
]


def specs(folder):
    """(name, file, options) of everything to compile."""
    for path in sorted(models.glob("*.json")):
        if run([attncc, "check", path, "--quiet"]).returncode == 0:
            yield path.stem, path, []
    for dim, query_heads, kv_heads, dtype, options in VARIANTS:
        name = "-".join([f"d{dim}", f"q{query_heads}", f"kv{kv_heads}", dtype] + [o.lstrip("-") for o in options])
        layer = {"query_heads": query_heads, "kv_heads": kv_heads, "head_dim": dim,
                 "rope": {"pairing": "interleaved" if dim == 96 else "half"},
                 "qk_norm": {"epsilon": 1e-6} if dim == 64 or dim > 200 else None}
        path = folder / f"{name}.json"
        path.write_text(json.dumps({"schema": "attncc.model/1", "layers": 1, "max_position": 32768, "dtype": dtype,
                                    "layer_classes": [layer]}))
        yield name, path, options


def assemble(name, path, target, entry):
    """What is wrong with one kernel, or None, and its resources."""
    done = run([ptxas, f"-arch={target}", "-v", path, "-o", os.devnull])
    report = done.stdout + done.stderr
    if done.returncode:
        return f"{name}: {path.name} does not assemble: {report.strip()}", ""
    spills = re.findall(r"(\d+) bytes spill stores, (\d+) bytes spill loads", report)
    registers = re.search(r"Used (\d+) registers", report)
    if not spills or not registers or entry not in report:
        return f"{name}: {path.name}: ptxas says nothing of {entry}: {report.strip()}", ""
    if any(int(bytes) for pair in spills for bytes in pair):
        return f"{name}: {path.name} spills: {report.strip()}", ""
    return None, f"{name}: {entry}: {registers[1]} registers"


with tempfile.TemporaryDirectory() as folder, concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
    folder = pathlib.Path(folder)
    jobs = []
    count = 0
    for name, spec, options in specs(folder):
        count += 1
        package = folder / name
        manifest = compile_package(attncc, spec, package, "--target=sm_80,sm_90a", *options)
        entries = [kernel["entry"] for kernel in manifest["kernels"]]
        check(len(set(entries)) == len(entries), f"{name}: two kernels of one name: {sorted(entries)}")
        for kernel in manifest["kernels"]:
            jobs.append(pool.submit(assemble, name, package / kernel["file"], kernel["target"], kernel["entry"]))
    check(count > len(VARIANTS), f"none of the configs in {models} is compiled")
    for job in jobs:
        wrong, line = job.result()
        check(wrong is None, wrong)
        if line:
            print(line)
    print(f"{len(jobs)} kernels of {count} specs")
finish("ptxas")
