"""The grid on what the compiler emits: real models and forms of memory, head dims and rope that no model here has.

Every case of every package must pass. The traffic of decode is stated at 4,096 tokens; the issue's shape (GQA 4:1,
head_dim 128) must stay within 1.02 of the least. A manifest that says another rope than the kernel computes must fail.

usage: grid.py ATTNCC MODELS
"""
import json
import pathlib
import subprocess
import sys
import tempfile

attncc, models = sys.argv[1], pathlib.Path(sys.argv[2])
failures = 0


def check(holds, message):
    global failures
    if not holds:
        failures += 1
        print(f"FAILED: {message}", flush=True)


def run(*command):
    return subprocess.run([str(word) for word in command], text=True, capture_output=True)


def compile_package(folder, spec, *options):
    done = run(attncc, spec, "-o", folder, "--quiet", *options)
    check(done.returncode == 0, f"{spec} {' '.join(options)}: {done.stderr}")
    return done.returncode == 0


def verify(folder, what, cases, *options):
    """The report; None if there is none."""
    done = run(attncc, "verify", folder, "--json", f"--cases={cases}", *options)
    if not done.stdout:
        check(False, f"{what}: exit code {done.returncode}: {done.stderr}")
        return None
    report = json.loads(done.stdout)
    check(done.returncode == (0 if report["ok"] else 5), f"{what}: exit code {done.returncode}")
    if "cases" not in report:
        check(False, f"{what}: {report['diagnostics']}")
        return None
    return report


def must_pass(folder, what, cases, *options):
    report = verify(folder, what, cases, *options)
    if report is None:
        return None
    for diagnostic in report["diagnostics"]:
        check(False, f"{what}: {diagnostic['message']}")
    check(report["ok"], what)
    check(all(case["ratio"] <= 2 and not case["findings"] for case in report["cases"]), f"{what}: a ratio or finding")
    for role in report["roles"]:
        print(f"{what}: {role['role']} {role['passed']}/{role['cases']} p50 {role['ratio_p50']:.2f} "
              f"max {role['ratio_max']:.2f} traffic {role['traffic']}", flush=True)
    return report


def traffic(report, of="decode"):
    return next(role["traffic"] for role in report["roles"] if role["role"] == of)


def model(**layers):
    return {"schema": "attncc.model/1", "layers": 2, "max_position": 9000, "dtype": "bf16",
            "layer_classes": [{"query_heads": 8, "kv_heads": 2, "head_dim": 64, "rope": {}} | layers]}


with tempfile.TemporaryDirectory() as work:
    work = pathlib.Path(work)
    count = 0

    def package(spec, *options):
        global count
        count += 1
        folder = work / f"package{count}"
        if isinstance(spec, dict):
            path = work / f"model{count}.json"
            path.write_text(json.dumps(spec))
            spec = path
        return folder if compile_package(folder, spec, *options) else None

    # The step's model at the default size, every target.
    llama = package(models / "llama-3.2-1b.json", "--target=sm_80,sm_90a")
    report = must_pass(llama, "llama-3.2-1b", 400) if llama else None
    if report:
        check(report["targets"] == [{"name": target, "ran": True, "reason": ""} for target in ["sm_80", "sm_90a"]],
              f"targets {report['targets']}")
        for target in ["sm_80", "sm_90a"]:
            cases = [case for case in report["cases"] if case["target"] == target]
            check(len(cases) >= 400, f"{target}: {len(cases)} cases, expected 400")
            roles = {role["role"] for role in report["roles"] if role["target"] == target}
            check(roles == {"append", "decode", "merge", "merge_states", "prefill"}, f"{target}: roles {roles}")
        check(all(case["bank_conflicts"] == 0 for case in report["cases"]), "bank conflicts")

    # A longer rope, no rope, 7 query heads to one, norms, an odd head dim.
    for name in ["llama-3.1-8b", "qwen3-8b", "qwen2.5-0.5b", "smollm2-135m", "phi-3-mini", "gpt2"]:
        folder = package(models / f"{name}.json")
        report = must_pass(folder, name, 60) if folder else None
        if report and name == "llama-3.1-8b":
            check(traffic(report) <= 1.02, f"traffic {traffic(report)}, expected at most 1.02")
            prefill = traffic(report, "prefill")
            check(prefill <= 1.05, f"traffic of prefill {prefill}, expected at most 1.05")

    for what, spec, options in [
            ("pages of one token", model(), ["--page-size=1"]),
            ("pages of three tokens", model(), ["--page-size=3"]),
            ("pages of 256 tokens, HND, f16", model(), ["--page-size=256", "--kv-order=HND", "--dtype=f16"]),
            ("head_dim 16", model(head_dim=16), []),
            ("head_dim 112, f16", model(head_dim=112), ["--dtype=f16"]),
            ("head_dim 256, 8 heads to one", model(head_dim=256, query_heads=8, kv_heads=1), []),
            ("interleaved rope of 32 of 96, norms",
             model(head_dim=96, rope={"pairing": "interleaved", "dim": 32}, qk_norm={"epsilon": 1e-5}), []),
            ("bidirectional", model(mask={"causal": False}), []),
            ("prefill by rings of keys and of values, 8 warps", model(),
             ["--schedule=<units=8,rows=16,keys=32,stages=[2,3],divide=rows,orientation=direct>"]),
            ("single tokens only", model(), ["--max-draft=1"])]:
        folder = package(spec, *options)
        if folder:
            must_pass(folder, what, 40)

    # Prefill by products of warpgroups: boxes of 8, 16 and all keys, groups that divide no block, rows of 1 and of 4 panels.
    for what, spec, options in [
            ("d128", models / "llama-3.1-8b.json", []),
            ("d96, pages of 24 tokens", models / "phi-3-mini.json", ["--page-size=24"]),
            ("7 heads to one, pages of 8", models / "qwen2.5-0.5b.json", ["--page-size=8"]),
            ("head_dim 256, a group of one, f16", model(head_dim=256, query_heads=2), ["--page-size=64", "--dtype=f16"]),
            ("bidirectional, head_dim 16", model(head_dim=16, mask={"causal": False}), ["--page-size=256"]),
            ("head_dim 64, a group of one, short queries", model(head_dim=64, query_heads=2), ["--page-size=64"]),
            ("head_dim 128, a group of one, short queries", model(head_dim=128, query_heads=2), []),
            ("tiles that a unit skips", model(head_dim=128, query_heads=2),
             ["--schedule=<unit=4,units=3,rows=64,divide=rows,keys=64,orientation=direct,product=wgmma,copy=tensor,box=16,"
              "stages=[2,2],query_stages=1,roles=specialised,registers=[32,32,160],overlap=items,ping_pong=true,"
              "rescale=lazy,work=static,order=longest_first,skip_tiles=true>"]),
            ("output through the query's slot", model(head_dim=96, query_heads=6),
             ["--page-size=48",
              "--schedule=<unit=4,units=3,rows=64,divide=rows,keys=96,orientation=direct,product=wgmma,copy=tensor,box=48,"
              "stages=[2,2],query_stages=2,roles=specialised,registers=[32,32,160],overlap=items,ping_pong=true,"
              "rescale=lazy,work=atomic,order=longest_first,output=staged>"])]:
        folder = package(spec, "--target=sm_90a", *options)
        if folder:
            report = must_pass(folder, f"sm_90a, {what}", 40, "--role=prefill")
            check(report and all(case["bank_conflicts"] == 0 for case in report["cases"]), f"{what}: bank conflicts")

    # The kernel rotates halves; the manifest is made to say pairs side by side.
    if llama:
        manifest = json.loads((llama / "manifest.json").read_text())
        manifest["layer_classes"][0]["prologue"]["rope"]["pairing"] = "interleaved"
        (llama / "manifest.json").write_text(json.dumps(manifest))
        report = verify(llama, "another rope", 20)
        if report:
            failed = [case["id"] for case in report["cases"] if not case["passed"]]
            check(failed and all("/append/" in case for case in failed), f"another rope: failed {failed}")

print(f"{failures} failures")
sys.exit(failures != 0)
