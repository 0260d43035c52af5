"""attncc verify's exit codes: 0 for a package that is right, 5 for one whose kernel computes something else,
1 for a kernel that changed after it was compiled; and its table and its JSON.

usage: verify.py ATTNCC SPEC
"""
import hashlib
import json
import pathlib
import re
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).parent / "Inputs"))
from driver_test import check, compile_package, finish, run, write_manifest

attncc, spec = sys.argv[1:]
CASES = ["--cases=20", "--seed=7"]

with tempfile.TemporaryDirectory() as folder:
    package = pathlib.Path(folder) / "package"
    manifest = compile_package(attncc, spec, package)

    # Right: a line for each role and one for each property, the same whatever the number of threads.
    good = run([attncc, "verify", package, *CASES])
    check(good.returncode == 0, f"a package that was just compiled: {good}")
    for role in ["append", "decode", "merge", "merge_states", "prefill"]:
        check(re.search(rf"^{role} +sm_80  sim  (\d+)/\1 within 2x  error ratio p50 \d.*  findings 0$", good.stdout, re.M),
              f"no line of {role}: {good.stdout}")
    check("FAILED" not in good.stdout and good.stderr == "", f"{good}")
    again = run([attncc, "verify", package, *CASES, "--jobs=1"])
    check(again.stdout == good.stdout, f"one thread: {again.stdout}")

    # JSON: one object that names the package by the hash of its manifest.
    report = json.loads(run([attncc, "verify", package, *CASES, "--json"]).stdout)
    check(report["schema"] == "attncc.verify/1" and report["ok"] and report["diagnostics"] == [], f"{report}")
    digest = hashlib.sha256((package / "manifest.json").read_bytes()).hexdigest()
    check(report["package_id"] == digest, f"package_id is {report['package_id']}, expected {digest}")
    check(all({"id", "ratio", "traffic", "findings"} <= case.keys() for case in report["cases"]), f"{report}")

    # Two devices: a simulator equals itself; with the tensor cores of another GPU some bits differ, within the bounds.
    same = run([attncc, "verify", package, "--cases=40", "--seed=7", "--against=sim"])
    check(same.returncode == 0, f"--against=sim: {same}")
    for role in ["append", "decode", "merge", "merge_states", "prefill"]:
        check(re.search(rf"^{role} +sm_80  sim against sim  (\d+) of \1 equal  furthest 0 ulp  exceptions 0$", same.stdout, re.M),
              f"--against=sim: no line of {role}: {same.stdout}")
    check("same error words on both devices" in same.stdout, f"--against=sim: {same.stdout}")
    other = run([attncc, "verify", package, "--cases=70", "--seed=7", "--device=sim:sm_80", "--against=sim:sm_90a",
                 "--target=sm_80", "--json"])
    check(other.returncode == 0, f"--against=sim:sm_90a: {other}")
    against = json.loads(other.stdout)["against"]
    check(against["device"] == "sim:sm_90a" and against["exceptions"] == [] and against["outside"] == 0, f"{against}")
    check(0.99 * against["elements"] <= against["equal_bits"] < against["elements"], f"{against}")
    check(0 < against["furthest_ulp"] <= 2, f"{against}")
    chosen = run([attncc, "verify", package, "--cases=70", "--seed=7", "--sim-hardware=sm_80", "--against=sim",
                  "--against-hardware=sm_90", "--json"])
    check(json.loads(chosen.stdout)["against"] | {"device": ""} == against | {"device": ""}, f"--against-hardware: {chosen}")

    # A target by its name.
    absent = run([attncc, "verify", package, "--target=sm_90a"])
    check(absent.returncode == 3 and "sm_80 is not the target asked for, sm_90a" in absent.stderr, f"--target: {absent}")

    # One role, one class.
    only = run([attncc, "verify", package, *CASES, "--role=append"])
    check(only.returncode == 0 and "append" in only.stdout and "decode" not in only.stdout, f"--role=append: {only}")
    unknown = run([attncc, "verify", package, *CASES, "--class=windowed"])
    check(unknown.returncode == 1 and "windowed" in unknown.stderr, f"--class=windowed: {unknown}")

    # A package works from a read-only folder and through a relative path.
    relative = run([attncc, "verify", "package", "--cases=1", "--role=append"], cwd=folder)
    check(relative.returncode == 0, f"a relative path: {relative}")

    # A kernel that takes its exponentials twice, hashed anew: intact, but wrong.
    kernel = next(kernel for kernel in manifest["kernels"] if kernel["role"] == "decode")
    path = package / kernel["file"]
    text, count = re.subn(r"^(\s*)ex2\.approx(\S*)(\s+)(%\w+), (%\w+);$", r"\1add.f32 \4, \5, \5;\n\1ex2.approx\2\3\4, \4;",
                          path.read_text(), flags=re.M)
    check(count > 0, "the decode kernel has no exponential")
    path.write_text(text)
    changed = run([attncc, "verify", package, *CASES])
    check(changed.returncode == 1, f"a changed kernel: exit code {changed.returncode}, expected 1")
    error = re.fullmatch(re.escape(str(path)) + r": error: .*, manifest.json says .*: the file changed after it was compiled; "
                         r"run attncc again, or copy the whole folder again \[package-(size|hash)\]\n", changed.stderr)
    check(error and changed.stdout == "", f"a changed kernel: {changed}")

    kernel["bytes"] = len(text.encode())
    kernel["sha256"] = hashlib.sha256(text.encode()).hexdigest()
    write_manifest(package, manifest)
    wrong = run([attncc, "verify", package, *CASES, "--role=decode"])
    check(wrong.returncode == 5, f"a wrong kernel: exit code {wrong.returncode}, expected 5: {wrong.stderr}")
    check(re.search(r"^FAILED  \S+: ", wrong.stdout, re.M), f"a wrong kernel: {wrong.stdout}")
    report = json.loads(run([attncc, "verify", package, *CASES, "--role=decode", "--json"]).stdout)
    failed = [case for case in report["cases"] if not case["passed"]]
    check(report["ok"] is False and failed and report["diagnostics"], "a wrong kernel: JSON names no failed case")

    # A failed case can be run again from its file alone.
    repro = pathlib.Path(folder) / "case.json"
    repro.write_text(json.dumps(failed[0]["repro"]) if failed else "{}")
    once = run([attncc, "verify", package, f"--repro={repro}", "--json"])
    check(once.returncode == 5 and [case["id"] for case in json.loads(once.stdout)["cases"]] == [failed[0]["id"]],
          f"--repro: {once.returncode} {once.stdout[:500]}")
finish("verify")
