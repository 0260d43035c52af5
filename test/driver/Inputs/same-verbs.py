# usage: same-verbs.py ATTNCC ATTNCC-RT
# Every verb of attncc-rt is one of attncc's, with the same --help of at most 60 lines, --json, --quiet, --color and
# --version, of which each program prints its own.
import re
import subprocess
import sys


def lines(*command):
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0 and done.stderr == "", (command, done)
    return done.stdout.splitlines()


attncc, attncc_rt = sys.argv[1:]
top = lines(attncc_rt, "--help")
verbs = [line.split()[0] for line in top[top.index("Subcommands:") + 1 :] if re.match(r"  \w", line)]
assert {"inspect", "verify", "bench", "warm", "doctor"} <= set(verbs), verbs
for verb in verbs:
    own, other = lines(attncc_rt, verb, "--help"), lines(attncc, verb, "--help")
    assert [line.replace("attncc-rt", "attncc") for line in own] == other, (own, other)
    assert len(own) <= 60, (verb, len(own))
    for option in ["--json", "--quiet", "--color", "--version", "--help"]:
        assert any(option in line for line in own), (verb, option)
    for program in [attncc, attncc_rt]:
        assert lines(program, verb, "--version") == lines(program, "--version"), (program, verb)
