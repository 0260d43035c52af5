"""attncc --cubin with the real ptxas: what the package holds, the same bytes twice, and what runs of it.

usage: cubin.py ATTNCC SPEC FAKE_CUDA
FAKE_CUDA is the folder of the CUDA driver of the tests, a GPU of sm_90 that refuses real cubins: there every kernel
falls back to its PTX. ptxas is $ATTNCC_PTXAS, the one in PATH or the CUDA Toolkit's; without it the test is skipped
(exit 77), and under CI it fails.
"""
import hashlib
import json
import os
import pathlib
import re
import shutil
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).parent / "Inputs"))
from driver_test import check, compile_package, finish, run, write_manifest

attncc, spec, fake_cuda = sys.argv[1:]
ptxas = os.environ.get("ATTNCC_PTXAS") or shutil.which("ptxas") or shutil.which("/usr/local/cuda/bin/ptxas")
if not ptxas:
    print("no ptxas here: ATTNCC_PTXAS is not set, and it is neither in PATH nor in /usr/local/cuda/bin")
    sys.exit(1 if os.environ.get("CI") else 77)
TARGETS = "--target=sm_80,sm_90a"
with_fake_cuda = {**os.environ, "LD_LIBRARY_PATH": fake_cuda}


def contents(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def check_package(folder, manifest, version):
    files = contents(folder)
    for kernel in manifest["kernels"]:
        cubin = kernel["cubin"]
        name, data = cubin["file"], files.get(cubin["file"], b"")
        check(name == kernel["file"].removesuffix(".ptx") + ".cubin", f"{name} stands beside {kernel['file']}")
        check(data[:4] == b"\x7fELF" and kernel["entry"].encode() in data, f"{name} is no ELF file of its kernel")
        check(len(data) == cubin["bytes"] and hashlib.sha256(data).hexdigest() == cubin["sha256"],
              f"{name} is not the file that the manifest lists")
        check(cubin["arch"] == kernel["target"], f"{name}: arch is {cubin['arch']}")
        check(cubin["ptxas"] == version, f"{name}: ptxas is {cubin['ptxas']}, expected {version}")
        said = run([ptxas, f"-arch={cubin['arch']}", "-O3", "-v", folder / kernel["file"], "-o", os.devnull]).stderr
        registers = int(re.search(r"Used (\d+) registers", said)[1])
        check(cubin["registers"] == registers, f"{name}: registers are {cubin['registers']}, ptxas says {registers}")


with tempfile.TemporaryDirectory() as folder:
    folder = pathlib.Path(folder)
    version = re.search(r"V(\d+\.\d+\.\d+)", run([ptxas, "--version"]).stdout)[1]
    manifest = compile_package(attncc, spec, folder / "one", TARGETS, "--cubin")
    check_package(folder / "one", manifest, version)
    (folder / "elsewhere").mkdir()
    done = run([attncc, pathlib.Path(spec).resolve(), "-o", "two", TARGETS, "--cubin", "--json"],
               cwd=folder / "elsewhere")
    report = json.loads(done.stdout)
    check(done.returncode == 0 and report["diagnostics"] == [], f"a warning of a kernel: {done.stdout}")
    check(contents(folder / "one") == contents(folder / "elsewhere" / "two"), "two compiles, different bytes")
    check([kernel["registers"] for kernel in report["kernels"]] ==
          [kernel["cubin"]["registers"] for kernel in manifest["kernels"]], "registers of --json and manifest differ")
    table = run([attncc, spec, "-o", folder / "one", TARGETS, "--cubin"]).stdout.splitlines()
    check(table[0].endswith("registers") and table[1].split()[-1] == str(manifest["kernels"][0]["cubin"]["registers"]),
          f"the table has no registers: {table[:2]}")

    # The PTX is that of a package without cubins, which lists none.
    plain = compile_package(attncc, spec, folder / "plain", TARGETS)
    check(not any("cubin" in kernel for kernel in plain["kernels"]), "cubins without --cubin")
    check({name: data for name, data in contents(folder / "one").items() if name.endswith(".ptx")} ==
          {name: data for name, data in contents(folder / "plain").items() if name.endswith(".ptx")}, "the PTX differs")

    ampere, hopper = (sum(kernel["target"] == target for kernel in manifest["kernels"]) for target in ("sm_80", "sm_90a"))
    # The simulator takes the PTX; the driver of the tests refuses the cubins of its own architecture.
    shown = run([attncc, "inspect", folder / "one"]).stdout
    check(f"sm_90a, {manifest['kernels'][-1]['cubin']['registers']} registers" in shown, f"inspect: {shown}")
    shown = run([attncc, "inspect", folder / "one", "--device=sim:sm_80"]).stdout
    check(shown.endswith(f"{ampere + hopper} kernels, {ampere} loaded on simulator (sm_80), 0 from cubins\n"), f"inspect on sim: {shown}")
    check(shown.count("PTX: the device takes PTX alone") == ampere, f"inspect on sim: {shown}")
    shown = json.loads(run([attncc, "inspect", folder / "one", "--device=cuda:0", "--target=sm_80", "--json"],
                           env=with_fake_cuda).stdout)["kernels"]
    check([kernel["cubin"] for kernel in shown] ==
          [{key: kernel["cubin"][key] for key in ("arch", "registers", "ptxas")} for kernel in manifest["kernels"]] and
          [(kernel["from_cubin"], kernel["why_ptx"]) for kernel in shown] ==
          [(False, "the cubin is for sm_80")] * ampere + [(False, "")] * hopper, f"inspect --json: {shown}")
    done = run([attncc, "inspect", folder / "one", "--device=cuda:0"], env=with_fake_cuda)
    check(done.returncode == 0 and done.stdout.count("PTX: the cubin was refused: cuModuleLoadDataEx gives ") == hopper,
          f"inspect on a driver that refuses: {done.stdout}")
    check(f"{hopper} of {hopper} kernels were compiled from PTX although they have a cubin; attncc_" in done.stderr, done.stderr)
    done = run([attncc, "inspect", folder / "one", "--device=cuda:0", "--target=sm_80"], env=with_fake_cuda)
    check(done.stdout.count("PTX: the cubin is for sm_80\n") == ampere and done.stderr == "", f"{done.stdout}{done.stderr}")

    # A cubin that is not the listed one, and a manifest that lists what cannot be.
    cubin = manifest["kernels"][0]["cubin"]
    file = folder / "one" / cubin["file"]
    data = file.read_bytes()
    file.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    done = run([attncc, "inspect", folder / "one"])
    check(done.returncode == 1 and f"{cubin['file']}: error: sha-256 is " in done.stderr, f"changed: {done.stderr}")
    file.write_bytes(data)
    cubin["arch"] = "sm_75"
    write_manifest(folder / "one", manifest)
    done = run([attncc, "inspect", folder / "one"])
    check(done.returncode == 1 and re.search(r'manifest.json:\d+:\d+: error: arch is "sm_75", for which code of sm_80 '
                                             r"cannot be assembled", done.stderr), f"arch: {done.stderr}")

    # What ptxas has against a kernel is a warning of its own.
    spilling = folder / "spilling"
    spilling.write_text(f"#!/bin/sh\ncase $1 in --version) ;; *)\n"
                        f"echo '    8 bytes stack frame, 12 bytes spill stores, 16 bytes spill loads';; esac\n"
                        f"exec {ptxas} \"$@\"\n")
    spilling.chmod(0o755)
    done = run([attncc, spec, "-o", folder / "one", "--cubin"], env={**os.environ, "ATTNCC_PTXAS": str(spilling)})
    warnings = re.findall(r"^sm_80/\w+\.ptx: warning: kernel attncc_\w+: spills 12 bytes to memory and loads 16 back, at "
                          r"\d+ registers \[ptxas\]$", done.stderr, re.M)
    check(done.returncode == 0 and len(warnings) == ampere == len(done.stderr.splitlines()), f"spills: {done.stderr}")

    # No ptxas, and one that fails: exit code 1, nothing is written.
    done = run([attncc, spec, "-o", folder / "none", "--cubin"], env={**os.environ, "ATTNCC_PTXAS": "/no/ptxas"})
    check(done.returncode == 1 and done.stderr.startswith("error: there is no ptxas at /no/ptxas [ptxas]\nnote: "),
          f"no ptxas: {done.returncode} {done.stderr}")
    broken = folder / "broken"
    broken.write_text(f"#!/bin/sh\nfor word; do case $word in *.ptx) sed -i 's/mma.sync/mma.bogus/' $word;; esac; done\n"
                      f"exec {ptxas} \"$@\"\n")
    broken.chmod(0o755)
    done = run([attncc, spec, "-o", folder / "none", "--cubin"], env={**os.environ, "ATTNCC_PTXAS": str(broken)})
    check(done.returncode == 1 and re.match(r"sm_80/decode_full_\w+\.ptx:\d+:1: error: kernel attncc_decode_full_\w+ does "
                                            r"not assemble for sm_80: .*bogus.* \[ptxas\]\nnote: ", done.stderr),
          f"PTX that does not assemble: {done.returncode} {done.stderr}")
    check(not (folder / "none").exists(), "a package was written")
    done = run([attncc, spec, "--emit=ptx", "--cubin"])
    check(done.returncode == 2 and "excludes" in done.stderr, f"--emit with --cubin: {done.stderr}")
finish("cubin")
