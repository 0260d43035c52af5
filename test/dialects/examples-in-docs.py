# usage: examples-in-docs.py test.mlir file.td…
# Fails unless every example of the tablegen files (```mlir, or Example: `…`) stands in the test, which
# parses it; white space aside. Also fails for an op, attribute or type without an example.
import pathlib
import re
import sys


def words(text):
    return " ".join(text.split())


test = words(pathlib.Path(sys.argv[1]).read_text())
missing = []
for name in sys.argv[2:]:
    text = pathlib.Path(name).read_text()
    documented = len(re.findall(r"let description = \[\{", text))
    examples = re.findall(r"```mlir\n(.*?)```", text, re.S) + re.findall(r"Example: `(.*?)`", text, re.S)
    examples = [words(example) for example in examples]
    if documented > len(examples):
        missing.append(f"{name}: {documented} descriptions but {len(examples)} examples")
    missing += [f"{name}: not in {sys.argv[1]}: {example}" for example in examples if example not in test]
print("\n".join(missing))
sys.exit(bool(missing))
