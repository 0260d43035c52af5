"""docs/model.schema.json accepts what attncc reads and writes, and refuses what attncc refuses.

Usage: schema-test.py SOURCE_DIR WRITE_CANONICAL_SPEC
"""
import json
import pathlib
import subprocess
import sys

import jsonschema

source = pathlib.Path(sys.argv[1])
writer = sys.argv[2]
schema = json.loads((source / "docs/model.schema.json").read_text())
jsonschema.Draft202012Validator.check_schema(schema)
validator = jsonschema.Draft202012Validator(schema)
failures = []


def canonical(path):
    return subprocess.run([writer, str(path)], capture_output=True, text=True)


def expect_valid(name, text):
    for error in validator.iter_errors(json.loads(text)):
        failures.append(f"{name}: {error.json_path}: {error.message}")


examples = sorted((source / "docs/examples").glob("*.model.json"))
if len(examples) < 3:
    failures.append(f"{len(examples)} examples in docs/examples, expected at least 3")
for path in examples:
    expect_valid(path.name, path.read_text())
for path in examples + sorted((source / "test/models").glob("*.json")):
    done = canonical(path)
    if done.returncode != 0:
        failures.append(done.stderr.strip())
    else:
        expect_valid(f"canonical form of {path.name}", done.stdout)

# One change to a good file each: the schema and attncc must both refuse it.
good = json.loads((source / "docs/examples/minimal.model.json").read_text())
bad_changes = {
    "unknown key": lambda m: m.update(head_count=8),
    "no layers": lambda m: m.pop("layers"),
    "no classes": lambda m: m.pop("layer_classes"),
    "schema of another major": lambda m: m.update(schema="attncc.model/2"),
    "real layers": lambda m: m.update(layers=1.5),
    "negative window": lambda m: m["layer_classes"][0].update(mask={"window": -1}),
    "zero heads": lambda m: m["layer_classes"][0].update(query_heads=0),
    "unknown key of a class": lambda m: m["layer_classes"][0].update(sink=True),
    "unknown rope kind": lambda m: m["layer_classes"][0].update(rope={"kind": "ntk"}),
    "yarn without factor": lambda m: m["layer_classes"][0].update(
        rope={"kind": "yarn", "original_positions": 64}),
    "unknown bias": lambda m: m["layer_classes"][0].update(biases=["mlp"]),
    "layers as numbers": lambda m: m["layer_classes"][0].update(layers=[0, 1]),
    "unknown dtype": lambda m: m.update(dtype="fp8"),
}
scratch = pathlib.Path("schema-test-bad.json")
for name, change in bad_changes.items():
    model = json.loads(json.dumps(good))
    change(model)
    if validator.is_valid(model):
        failures.append(f"the schema accepts a file with this error: {name}")
    scratch.write_text(json.dumps(model))
    if canonical(scratch).returncode == 0:
        failures.append(f"attncc accepts a file with this error: {name}")
scratch.unlink()

print("\n".join(failures) or f"{len(examples)} examples, {len(bad_changes)} bad changes: as expected")
sys.exit(bool(failures))
