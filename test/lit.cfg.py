# The lit suites: every .mlir and .test file of the folders below runs attncc-opt or attncc through
# FileCheck. Run by `ninja check-lit`, or one file: lit -v build/test --filter dialects/attn/mask.
import os
import shutil
import sys

import lit.formats

config.name = "attncc"
config.test_format = lit.formats.ShTest(execute_external=False)
config.suffixes = [".mlir", ".test"]
config.test_source_root = os.path.dirname(os.path.abspath(__file__))
config.test_exec_root = os.path.join(config.attncc_binary_root, "test", "lit")
config.excludes = ["models", "Inputs", "CMakeLists.txt"]

# Tools are named by their paths, so that no test picks up another one from PATH.
tools = {
    "attncc-opt": os.path.join(config.attncc_binary_root, "bin", "attncc-opt"),
    "attncc-rt": os.path.join(config.attncc_binary_root, "bin", "attncc-rt"),
    "attncc": os.path.join(config.attncc_binary_root, "bin", "attncc"),
    "FileCheck": os.path.join(config.llvm_tools_dir, "FileCheck"),
    "not": os.path.join(config.llvm_tools_dir, "not"),
}
for name, path in tools.items():
    config.substitutions.append((r"(?<![\w./%{-])" + name + r"(?![\w./:-])", path))
config.substitutions.append(("%python", sys.executable))
# A GPU without one: the CUDA driver of the tests is loaded from here.
config.substitutions.append(("%fake_cuda", os.path.join(config.attncc_binary_root, "test", "runtime", "fake-cuda")))
config.substitutions.append(("%source", os.path.dirname(config.test_source_root)))
config.substitutions.append(("%models", os.path.join(config.test_source_root, "models")))
config.environment["FILECHECK_OPTS"] = "--dump-input=fail --enable-var-scope"

# ptxas checks emitted PTX where it is installed (`REQUIRES: ptxas`, `%ptxas`).
ptxas = os.environ.get("ATTNCC_PTXAS") or shutil.which("ptxas")
if ptxas:
    config.available_features.add("ptxas")
    config.substitutions.append(("%ptxas", ptxas))
