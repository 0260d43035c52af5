"""What the Python tests of the driver share: running attncc, and a failure count."""
import json
import pathlib
import subprocess
import sys

failures = 0


def check(holds, message):
    """Counts and prints a failure; the test goes on."""
    global failures
    if not holds:
        failures += 1
        print(f"FAILED: {message}")
    return holds


def finish(what):
    print(f"{what}: {failures} failures")
    sys.exit(failures != 0)


def run(command, **options):
    """The finished process, with its output as text."""
    return subprocess.run([str(word) for word in command], text=True, capture_output=True, timeout=900, **options)


def compile_package(attncc, spec, folder, *options):
    """Compiles; a failure ends the test, since nothing else can be asked then."""
    done = run([attncc, spec, "-o", folder, "--quiet", *options])
    if done.returncode:
        sys.exit(f"attncc {spec} {' '.join(options)} ended with {done.returncode}: {done.stderr}")
    return json.loads((pathlib.Path(folder) / "manifest.json").read_text())


def write_manifest(folder, manifest):
    """As the compiler writes it: sorted keys."""
    text = json.dumps(manifest, sort_keys=True, indent=1)
    (pathlib.Path(folder) / "manifest.json").write_text(text)
