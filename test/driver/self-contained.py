"""attncc is one file: in a root with nothing but glibc and a spec it compiles, and stripped it has at most 60 MB.

usage: self-contained.py ATTNCC SPEC
The dynamic section may name glibc's own libraries only. As root the test runs the binary in a chroot that
holds just those; else with an empty environment and library path.
"""
import os
import pathlib
import re
import shutil
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).parent / "Inputs"))
from driver_test import check, finish, run

GLIBC = {"libc.so.6", "libm.so.6", "libdl.so.2", "libpthread.so.0", "ld-linux-x86-64.so.2"}
MOST_BYTES = 60_000_000

attncc, spec = sys.argv[1:]
with tempfile.TemporaryDirectory() as name:
    root = pathlib.Path(name)
    binary = root / "attncc"
    stripped = run(["strip", "-o", binary, attncc])
    if not check(stripped.returncode == 0, f"strip: {stripped.stderr}"):
        finish("self-contained")
    size = binary.stat().st_size
    print(f"stripped: {size:,} bytes")
    check(size <= MOST_BYTES, f"stripped it has {size:,} bytes, at most {MOST_BYTES:,} are allowed")

    dynamic = run(["readelf", "-d", binary]).stdout
    needed = set(re.findall(r"\(NEEDED\).*\[(.*)\]", dynamic))
    check(needed and needed <= GLIBC, f"needs {sorted(needed)}, allowed are {sorted(GLIBC)}")
    check(not re.search(r"\((RPATH|RUNPATH)\)", dynamic), "has a library path of its own")

    interpreter = pathlib.Path(re.search(r"interpreter: (\S+)\]", run(["readelf", "-l", binary]).stdout)[1])
    (root / interpreter.parent.relative_to("/")).mkdir(parents=True)
    shutil.copy(interpreter, root / interpreter.relative_to("/"))
    libraries = root / "lib" / "x86_64-linux-gnu"
    libraries.mkdir(parents=True)
    for library in needed - {interpreter.name}:
        shutil.copy(pathlib.Path("/lib/x86_64-linux-gnu") / library, libraries)
    shutil.copy(spec, root / "spec.json")
    if os.geteuid() == 0:
        def run_bare(*words):
            return run(["/attncc", *words], env={}, preexec_fn=lambda: (os.chroot(root), os.chdir("/")))
        out = "/out"
    else:
        def run_bare(*words):
            return run(["./attncc", *words], env={"LD_LIBRARY_PATH": ""}, cwd=root)
        out = "out"

    version = run_bare("--version")
    check(version.returncode == 0 and version.stdout.startswith("attncc "), f"--version: {version}")
    compiled = run_bare("spec.json", "-o", out)
    check(compiled.returncode == 0, f"compile: {compiled}")
    for required in ["manifest.json", "spec.json"]:
        check((root / "out" / required).is_file(), f"no {required} in the package")
    check(any((root / "out").glob("*/*.ptx")), "no PTX in the package")
    elsewhere = root / "elsewhere"
    here = run([attncc, spec, "-o", elsewhere, "--quiet"])
    check(here.returncode == 0, f"compile outside the root: {here}")
    for path in sorted((root / "out").glob("*/*.ptx")):
        same = elsewhere / path.relative_to(root / "out")
        check(same.is_file() and same.read_bytes() == path.read_bytes(), f"{path.name} differs outside the root")
finish("self-contained")
