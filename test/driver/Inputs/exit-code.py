# usage: exit-code.py CODE command…
# Runs the command with its output as it is; fails unless it ends with this exit code.
import subprocess
import sys

expected = int(sys.argv[1])
code = subprocess.run(sys.argv[2:]).returncode
if code != expected:
    print(f"exit code is {code}, expected {expected}: {' '.join(sys.argv[2:])}", file=sys.stderr)
sys.exit(code != expected)
