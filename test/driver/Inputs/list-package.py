# usage: list-package.py FOLDER
# Prints every file below the folder; fails if the manifest lists another set of files.
import json
import pathlib
import sys

folder = pathlib.Path(sys.argv[1])
present = {str(path.relative_to(folder)) for path in folder.rglob("*") if not path.is_dir()}
manifest = json.loads((folder / "manifest.json").read_text())
listed = {"manifest.json", manifest["spec"]["file"]} | {kernel["file"] for kernel in manifest["kernels"]}
listed |= {kernel["cubin"]["file"] for kernel in manifest["kernels"] if "cubin" in kernel}
print("\n".join(sorted(present)))
if present != listed:
    sys.exit(f"the manifest lists {sorted(listed)}")
