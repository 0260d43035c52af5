# usage: examples-in-docs.py test.mlir Ops.td…
# Fails unless every ```mlir example of the tablegen files stands in the test, which parses it; white
# space aside. Also fails for an op without an example.
import pathlib
import re
import sys


def words(text):
    return " ".join(text.split())


test = words(pathlib.Path(sys.argv[1]).read_text())
missing = []
for name in sys.argv[2:]:
    text = pathlib.Path(name).read_text()
    ops = len(re.findall(r"^def \w+Op\b", text, re.M))
    examples = [words(example) for example in re.findall(r"```mlir\n(.*?)```", text, re.S)]
    if ops > len(examples):
        missing.append(f"{name}: {ops} ops but {len(examples)} examples")
    missing += [f"{name}: not in {sys.argv[1]}: {example}" for example in examples if example not in test]
print("\n".join(missing))
sys.exit(bool(missing))
