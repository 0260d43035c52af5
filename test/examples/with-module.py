"""Runs a program with a Python that has NumPy, or PyTorch and a GPU: this Python, else Debian's.

usage: with-module.py numpy|torch PROGRAM ARGUMENT…
Exit code 77 where there is none; but NumPy must be there under CI.
"""
import os
import subprocess
import sys

module, *program = sys.argv[1:]
check = {"numpy": "import numpy", "torch": "import torch; torch.empty(1, device='cuda')"}[module]
reasons = []
for python in dict.fromkeys([sys.executable, "/usr/bin/python3"]):
    if not os.path.exists(python):
        continue
    probe = subprocess.run([python, "-c", check], capture_output=True, text=True)
    if probe.returncode == 0:
        sys.exit(subprocess.run([python, "-B", *program]).returncode)
    reasons.append(f"{python}: {(probe.stderr.strip().splitlines() or ['no output'])[-1]}")
print("\n".join(reasons))
sys.exit(1 if module == "numpy" and os.environ.get("CI") else 77)
