"""tools/dev setup, with stand-ins for Debian's commands: what is missing is installed, or named where it may not be.

usage: dev.py SOURCE
"""
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import time

source = pathlib.Path(sys.argv[1])
PACKAGES = re.search(r"^packages=\((.*?)\)", (source / "tools" / "dev").read_text(), re.M | re.S)[1].split()
failures = []


def setup(missing, user, sudo=False, unknown=(), apt_works=True):
    """tools/dev setup on a machine like this: exit code, standard error, and the calls of apt-get."""
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        log = folder / "apt-get.log"
        log.touch()
        present = "".join(f"{name} install ok installed\n" for name in PACKAGES if name not in missing)
        (folder / "present").write_text(present)
        stubs = {
            "dpkg-query": f"cat {folder}/present; exit {1 if missing else 0}",
            "id": f"echo {user}",
            "sudo": ('[ "$1" = -n ] && exit 0; exec "$@"' if sudo else "exit 1"),
            "apt-cache": "\n".join(f'[ "${{!#}}" = {name} ] && exit 100' for name in unknown) + "\nexit 0",
            "apt-get": f'echo "$*" >> {log}; ' + ("exit 0" if apt_works else "exit 100"),
        }
        for name, body in stubs.items():
            path = folder / name
            path.write_text(f"#!/bin/bash\n{body}\n")
            path.chmod(0o755)
        done = subprocess.run([source / "tools" / "dev", "setup"], text=True, capture_output=True, timeout=60,
                              env={**os.environ, "PATH": f"{folder}:{os.environ['PATH']}"})
        return done.returncode, done.stderr, log.read_text().splitlines()


def expect(holds, what):
    if not holds:
        failures.append(what)


# Everything there: nothing is asked of apt-get, nothing is said, and it is quick.
start = time.monotonic()
code, text, calls = setup([], 1000)
expect((code, text, calls) == (0, "", []), f"all there: {code} {text!r} {calls}")
expect(time.monotonic() - start < 5, "all there: took more than 5 seconds")

# As root, and with sudo: exactly what is missing is installed, and named before.
for user, sudo in [(0, False), (1000, True)]:
    code, text, calls = setup(["lld-22", "cmake"], user, sudo)
    expect(code == 0 and "installing 2 packages: cmake lld-22" in text, f"user {user}: {code} {text!r}")
    installs = [call for call in calls if " install " in f" {call} "]
    expect(len(installs) == 1 and installs[0].split()[-2:] == ["cmake", "lld-22"], f"user {user}: {calls}")
    expect(calls[0].startswith("update"), f"user {user}: no update first: {calls}")

# Neither: exit 1, the packages and the command by name, and no attempt.
code, text, calls = setup(["lld-22", "libmlir-22-dev"], 1000)
expect(code == 1 and not calls, f"may not install: {code} {calls}")
expect(re.search(r"error: 2 packages are missing, .*: apt-get install .*libmlir-22-dev lld-22\n", text), f"may not install: {text!r}")

# A Debian without the security archive: says where LLVM 22 is.
code, text, calls = setup(["libmlir-22-dev"], 0, unknown=["libmlir-22-dev"])
expect(code == 1 and "knows no libmlir-22-dev" in text and "bookworm-security" in text, f"unknown package: {code} {text!r}")

# apt-get fails: exit 1 and the packages by name.
code, text, calls = setup(["cmake"], 0, apt_works=False)
expect(code == 1 and "error: apt-get could not install cmake" in text, f"apt-get fails: {code} {text!r}")

print("\n".join(failures))
sys.exit(bool(failures))
