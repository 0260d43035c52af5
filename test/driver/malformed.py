"""Malformed specs and packages, as a user meets them: exit 1, one located line that is an error, no crash.

usage: malformed.py ATTNCC SPEC
Each case is made here: a spec by its text, a package by one change to what attncc compiles from SPEC. The
exact texts are pinned by test/spec/MalformedTest.cpp and test/runtime/package; here it is what the command
prints and how it ends, as text and as JSON.
"""
import json
import os
import pathlib
import re
import shutil
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).parent / "Inputs"))
from driver_test import check, compile_package, finish, run, write_manifest

attncc, spec = sys.argv[1:]

OWN = '{"schema": "attncc.model/1", "layers": 2, "max_position": 64,\n"layer_classes": [%s]}'
HF = '{"model_type": "llama", "hidden_size": 2048, "num_attention_heads": 32, "num_hidden_layers": 16,\n%s}'

# name: (bytes of the file, its line and column, code)
SPECS = {
    "empty": ("", "1:1", "json-syntax"),
    "not-json": ("model: llama", "1:1", "json-syntax"),
    "cut-off": ('{"model_type": "llama"', "1:23", "json-syntax"),
    "trailing-comma": ('{"model_type": "llama",\n}', "2:1", "json-syntax"),
    "not-utf8": (b'{"model_type": "lla\xffma"}', "1:20", "json-syntax"),
    "nul-byte": (b'{"model_type": "llama"\x00}', "1:24", "json-syntax"),
    "two-documents": ("{}\n{}", "2:1", "json-syntax"),
    "too-deep": ("[" * 100_000, "1:65", "json-depth"),
    "array": ("[1, 2]", "1:1", "json-type"),
    "no-form": ("{}", "1:1", "spec-form"),
    "duplicate-key": ('{"model_type": "llama",\n "model_type": "gpt2"}', "2:2", "json-duplicate"),
    "unknown-type": ('{"model_type": "falcon_mamba"}', "1:16", "spec-model-type"),
    "text-for-number": (HF % '"num_key_value_heads": "8"', "2:24", "json-type"),
    "huge-integer": (HF % '"num_key_value_heads": 99999999999999999999999', "2:24", "json-range"),
    "negative": (HF % '"num_key_value_heads": -8', "2:24", "json-range"),
    "head-ratio": (HF % '"num_key_value_heads": 6', "2:24", "spec-heads"),
    "rope-type": (HF % '"rope_scaling": {"rope_type": "mrope"}', "2:31", "spec-rope"),
    "rope-text": (HF % '"rope_scaling": "linear"', "2:17", "json-type"),
    "other-schema": ('{"schema": "attncc.model/9"}', "1:12", "spec-schema"),
    "unknown-key": (OWN % '{"query_heads": 8, "head_dim": 64, "head_dims": 3}', "2:54", "spec-key"),
    "no-layers": (OWN % "", "2:18", "spec-layers"),
    "layer-twice": (OWN % '{"query_heads": 8, "head_dim": 64, "layers": [[0, 1], [1, 1]]}', "2:73", "spec-layers"),
    "window-zero": (OWN % '{"query_heads": 8, "head_dim": 64, "mask": {"window": 0}}', "2:73", "json-range"),
}


def change(*path, to):
    """A change to the manifest: the value at the path."""
    def apply(folder, manifest):
        at = manifest
        for key in path[:-1]:
            at = at[key]
        at[path[-1]] = to
        write_manifest(folder, manifest)
    return apply


def without(*path):
    def apply(folder, manifest):
        at = manifest
        for key in path[:-1]:
            at = at[key]
        del at[path[-1]]
        write_manifest(folder, manifest)
    return apply


def raw(text):
    """The manifest's text, from the one before."""
    def apply(folder, manifest):
        path = folder / "manifest.json"
        path.write_bytes(text(path.read_bytes()))
    return apply


def kernel_file(act):
    def apply(folder, manifest):
        act(folder / manifest["kernels"][0]["file"])
    return apply


def link(path):
    copy = path.parent.parent / "elsewhere.ptx"
    path.rename(copy)
    path.symlink_to(copy)


def fifo(path):
    path.unlink()
    os.mkfifo(path)


def flip(path):
    text = bytearray(path.read_bytes())
    text[len(text) // 2] ^= 1
    path.write_bytes(text)


# name: (what is done to a good package, the file that the error names, whether with line and column, code)
PACKAGES = {
    "no-folder": (lambda folder, manifest: shutil.rmtree(folder), "", False, "package-file"),
    "no-manifest": (lambda folder, manifest: (folder / "manifest.json").unlink(), "manifest.json", False, "package-file"),
    "manifest-is-folder": (lambda folder, manifest: ((folder / "manifest.json").unlink(), (folder / "manifest.json").mkdir()),
                           "manifest.json", False, "package-file"),
    "manifest-empty": (raw(lambda text: b""), "manifest.json", True, "json-syntax"),
    "manifest-cut-off": (raw(lambda text: text[: len(text) // 2]), "manifest.json", True, "json-syntax"),
    "manifest-deep": (raw(lambda text: b"[" * 100_000), "manifest.json", True, "json-depth"),
    "manifest-large": (raw(lambda text: text + b" " * (17 << 20)), "manifest.json", False, "package-file"),
    "duplicate-key": (raw(lambda text: text.replace(b'"requires"', b'"schema": "attncc.package/1.0", "requires"', 1)),
                      "manifest.json", True, "json-duplicate"),
    "no-schema": (without("schema"), "manifest.json", True, "json-missing"),
    "other-schema": (change("schema", to="onnx"), "manifest.json", True, "package-schema"),
    "no-kernels": (without("kernels"), "manifest.json", True, "json-missing"),
    "path-up": (change("kernels", 0, "file", to="../secret.ptx"), "manifest.json", True, "package-path"),
    "path-absolute": (change("kernels", 0, "file", to="/etc/passwd"), "manifest.json", True, "package-path"),
    "hash-no-hex": (change("kernels", 0, "sha256", to="xyz"), "manifest.json", True, "package-hash"),
    "class-unknown": (change("kernels", 0, "class", to="windowed"), "manifest.json", True, "package-reference"),
    "group-unknown": (change("layer_classes", 0, "cache_group", to="kv9"), "manifest.json", True, "package-reference"),
    "rule-unknown": (change("kernels", 0, "split_rule", to="s9"), "manifest.json", True, "package-reference"),
    "block-odd": (change("kernels", 0, "block", to=[33, 1, 1]), "manifest.json", True, "package-block"),
    "shared-negative": (change("kernels", 0, "shared", to=-1), "manifest.json", True, "json-range"),
    "bytes-huge": (change("kernels", 0, "bytes", to=1 << 70), "manifest.json", True, "json-range"),
    "grid-rule": (change("interfaces", "decode/1", "grid", 0, to="kv_heads*system(1)"), "manifest.json", True, "package-rule"),
    "parameter-order": (change("interfaces", "decode/1", "params", 0, "name", to="output"), "manifest.json", True,
                        "package-interface"),
    "steps-fall": (change("split_rules", "s0", "steps", to=[[4096, 512], [2048, 1024]]), "manifest.json", True, "json-range"),
    "kernel-missing": (kernel_file(pathlib.Path.unlink), "PTX", False, "package-file"),
    "kernel-is-link": (kernel_file(link), "PTX", False, "package-file"),
    "kernel-is-pipe": (kernel_file(fifo), "PTX", False, "package-file"),
    "kernel-cut-off": (kernel_file(lambda path: path.write_bytes(path.read_bytes()[:-1])), "PTX", False, "package-size"),
    "kernel-flipped": (kernel_file(flip), "PTX", False, "package-hash"),
    "spec-flipped": (lambda folder, manifest: flip(folder / "spec.json"), "spec.json", False, "package-hash"),
}


def check_refusal(name, command, place, code):
    """Exit 1; the first line is an error at the place with the code, further ones are its notes."""
    done = run(command)
    lines = done.stderr.splitlines()
    check(done.returncode == 1, f"{name}: exit code {done.returncode}, expected 1: {done.stderr}")
    check(done.stdout == "", f"{name}: standard output has {done.stdout[:200]!r}")
    expected = re.escape(place) + r": error: [^A-Z\n].*[^.\n] \[" + code + r"\]"
    if not check(lines and re.fullmatch(expected, lines[0]), f"{name}: {lines[:1]} does not match {expected}"):
        return
    for line in lines[1:]:
        check(re.match(r"(\S+: )?note: ", line), f"{name}: {line!r} is no note")
    check(len(lines[0]) < 600, f"{name}: a line of {len(lines[0])} characters")

    done = run([*command, "--json"])
    check(done.returncode == 1, f"{name} --json: exit code {done.returncode}, expected 1")
    check(done.stderr == "", f"{name} --json: standard error has {done.stderr[:200]!r}")
    try:
        report = json.loads(done.stdout)
    except ValueError:
        return check(False, f"{name} --json: {done.stdout[:200]!r} is not one JSON object")
    errors = [d for d in report["diagnostics"] if d["severity"] == "error"]
    check(report["ok"] is False and len(errors) == 1, f"{name} --json: {report}")
    for error in errors:
        where = error["file"] + (f":{error['line']}:{error['column']}" if error["line"] else "")
        check((where, error["code"]) == (place, code), f"{name} --json: {where} [{error['code']}]")


with tempfile.TemporaryDirectory() as folder:
    folder = pathlib.Path(folder)
    for name, (text, position, code) in SPECS.items():
        path = folder / f"{name}.json"
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        check_refusal(f"check {name}", [attncc, "check", path], f"{path}:{position}", code)
        check_refusal(f"compile {name}", [attncc, path, "-o", folder / "out"], f"{path}:{position}", code)
        check(not (folder / "out").exists(), f"compile {name}: there is an output")
    missing = folder / "missing.json"
    check_refusal("check missing", [attncc, "check", missing], str(missing), "file-read")

    good = folder / "good"
    manifest = compile_package(attncc, spec, good)
    for name, (act, file, located, code) in PACKAGES.items():
        package = folder / name
        shutil.copytree(good, package)
        act(package, json.loads(json.dumps(manifest)))
        file = manifest["kernels"][0]["file"] if file == "PTX" else file
        place = str(package / file) if file else str(package)
        command = [attncc, "verify", package, "--cases=1"]
        if located:  # the position follows from the manifest's layout: any will do, but there must be one
            first = run(command).stderr.split("\n")[0]
            found = re.match(re.escape(place) + r":[1-9]\d*:[1-9]\d*(?=: )", first)
            if not check(found, f"verify {name}: {first!r} has no place in {place}"):
                continue
            place = found[0]
        check_refusal(f"verify {name}", command, place, code)

    # Another major version is not bad input but one that this version does not support: exit 3.
    package = folder / "newer"
    shutil.copytree(good, package)
    change("schema", to="attncc.package/2.0")(package, json.loads(json.dumps(manifest)))
    newer = run([attncc, "verify", package])
    check(newer.returncode == 3 and "[package-schema]" in newer.stderr, f"verify newer: {newer}")
    print(f"{2 * len(SPECS) + 1} specs, {len(PACKAGES) + 1} packages")
finish("malformed")
