"""Kernel packages for shapes: which one holds a shape's kernels, and the specs of those that are missing."""
import dataclasses
import json
import math
import pathlib
import re

COMPILED_FOR_HOPPER = "sm_80,sm_90a"


@dataclasses.dataclass(frozen=True)
class Choice:
    """A layer class of a package that serves a shape, and the target that is loaded for it.

    layer: the place of one of the class's layers among those of its cache group, of which there are `layers`.
    """
    folder: pathlib.Path
    cache_group: str
    layer: int
    layers: int
    target: str
    schedule: str


def usable_on(target, capability):
    """Whether kernels of a target run on a GPU of this compute capability, a pair."""
    major, minor, exact = re.fullmatch(r"sm_(\d+)(\d)(a?)", target).groups()
    needed = int(major), int(minor)
    return capability == needed if exact else capability >= needed


def rank(target):
    """Orders targets: a later capability first, and of one capability the exact one."""
    return int(re.search(r"\d+", target)[0]), target.endswith("a")


def layers_of(pairs):
    return [layer for first, last in pairs for layer in range(first, last + 1)]


def fits_class(shape, layer_class, group):
    scale = 1 / math.sqrt(shape.head_dim)
    one_token = shape.query_tokens == 1  # sees every key under either mask
    return (layer_class["head_dim"] == shape.head_dim and layer_class["group"] == shape.group
            and layer_class["dtype"] == shape.dtype and abs(layer_class["scale"] - scale) < 1e-6 * scale
            and (one_token or layer_class["mask"] == ("causal" if shape.causal else "none"))
            and layer_class["max_position"] >= shape.longest and group["page_size"] == shape.page_size
            and group["kv_heads"] >= shape.kv_heads and group["v"]["dim"] == shape.head_dim)


def choose(shape, folders, capability, target=None):
    """The first of the package folders that has kernels for the shape on this GPU, or None."""
    for folder in folders:
        manifest = json.loads((pathlib.Path(folder) / "manifest.json").read_text())
        groups = {group["name"]: group for group in manifest["cache_groups"]}
        for layer_class in manifest["layer_classes"]:
            group = groups[layer_class["cache_group"]]
            if not fits_class(shape, layer_class, group):
                continue
            role = "decode" if shape.query_tokens <= layer_class["max_query_tokens_decode"] else "prefill"
            kernels = [kernel for kernel in manifest["kernels"]
                       if kernel["class"] == layer_class["name"] and kernel["role"] == role
                       and usable_on(kernel["target"], capability) and target in (None, kernel["target"])
                       and holds(kernel["load_class"], shape)]
            if role == shape.table and kernels:
                # The last of the best target, as a plan takes it.
                kernel = max(reversed(kernels), key=lambda kernel: rank(kernel["target"]))
                layers = layers_of(group["layers"])
                return Choice(pathlib.Path(folder), group["name"], layers.index(layers_of(layer_class["layers"])[0]),
                              len(layers), kernel["target"], kernel.get("schedule", ""))
    return None


def holds(load_class, shape):
    bounds = {"num_sequences": shape.batch, "max_query_length": shape.query_tokens, "max_kv_length": shape.longest}
    return all(low <= bounds[name] <= high for name, (low, high) in load_class.items())


def spec_name(shape):
    mask = "causal" if shape.causal else "full"
    return f"{shape.dtype}-d{shape.head_dim}-g{shape.group}-{mask}"


def specs_for(shapes):
    """Name and content of the model.json of each layer class that the shapes need."""
    specs = {}
    for shape in shapes:
        kv_heads = max(other.kv_heads for other in shapes if spec_name(other) == spec_name(shape))
        layer_class = {"query_heads": kv_heads * shape.group, "kv_heads": kv_heads, "head_dim": shape.head_dim}
        if not shape.causal:
            layer_class["mask"] = {"causal": False}
        specs[spec_name(shape)] = {"schema": "attncc.model/1", "layers": 1, "max_position": 131072,
                                   "dtype": shape.dtype, "layer_classes": [layer_class]}
    return specs


def write_specs(folder, shapes):
    """Writes NAME.model.json for each of specs_for(shapes); the folder is made if need be."""
    folder = pathlib.Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    for name, spec in specs_for(shapes).items():
        (folder / f"{name}.model.json").write_text(json.dumps(spec, indent=2) + "\n")


def commands_for(shapes, specs="specs", packages="packages", targets=COMPILED_FOR_HOPPER):
    """The attncc commands that compile the shapes' specs."""
    options = sorted({(spec_name(shape), shape.page_size) for shape in shapes})
    return [f"attncc {specs}/{name}.model.json --page-size={page_size} --target={targets} "
            f"-o {packages}/{name}-p{page_size}" for name, page_size in options]
