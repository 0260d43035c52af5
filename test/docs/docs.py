"""The documents hold: every command in them runs, with the output that they show, and every path exists.

usage: docs.py SOURCE BUILD
Documents: README.md, CONTRIBUTING.md, docs/*.md.
- ```sh blocks: each line is run, in order, in a folder of the document's own, where build/ is the build, test/,
  docs/ and tools/ are the sources' and config.json is Llama-3.2-1B's. Each must end with exit code 0.
- ```console blocks: the same for lines that begin with "$ "; the lines after one are what it prints, on either
  stream, where … stands for any text in a line and a line of … for any lines. A comment "# exit N" names its exit code.
- ```json blocks parse, unless they have an ellipsis.
- tools/dev is what runs this test: of its commands the verb must be known. A CMake preset must be in the presets' file.
- Every option that the command's --help shows stands in docs/commands.md.
- Links, and paths in code spans that begin with one of the top folders, exist.
Comments in the sources name tests and documents too: those paths are checked as well.
"""
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

source, build = (pathlib.Path(argument).resolve() for argument in sys.argv[1:])
failures = []
DOCUMENTS = sorted([source / "README.md", source / "CONTRIBUTING.md", *(source / "docs").glob("**/*.md")])
TOP = "compiler|dialects|runtime|test|tools|docs"


def fail(place, message):
    failures.append(f"{place}: {message}")


def blocks(text):
    """(language, line of the first line, lines) of each fenced block, indented ones too."""
    for found in re.finditer(r"^( *)```(\w*)\n(.*?)^\1```", text, re.M | re.S):
        yield found[2], text[: found.start(3)].count("\n") + 1, found[3].splitlines()


def commands(language, lines):
    """(offset, command, expected exit code, expected output or None)."""
    if language == "sh":
        for offset, line in enumerate(lines):
            command = re.sub(r"\s+#.*", "", line).strip()
            if command and not command.startswith("#"):
                yield offset, command, 0, None
        return
    starts = [offset for offset, line in enumerate(lines) if line.startswith("$ ")]
    for start, end in zip(starts, starts[1:] + [len(lines)]):
        command, _, comment = lines[start][2:].partition("#")
        code = re.fullmatch(r"\s*exit (\d+)\s*", comment)
        output = [line for line in lines[start + 1 : end] if line.strip()]
        yield start, command.strip(), int(code[1]) if code else 0, output


def matches(expected, actual):
    """Whether the lines are the expected ones, where … is any text and a line of … any lines."""
    pattern = "".join(r"(?:.*\n)*" if line.strip() == "…" else re.escape(line.rstrip()).replace("…", ".*") + "\n"
                      for line in expected)
    return re.fullmatch(pattern, "".join(line.rstrip() + "\n" for line in actual if line.strip())) is not None


def check_command(place, command, code, output, folder):
    first = command.split()[0]
    if first == "tools/dev":
        verbs = re.findall(r"^(\w+)\) ", (source / "tools" / "dev").read_text(), re.M)
        if command.split()[1:2] and command.split()[1] not in verbs:
            fail(place, f"tools/dev has no verb {command.split()[1]}, its verbs are {' '.join(verbs)}")
        return
    presets = re.findall(r"--preset[ =](\w+)", command)
    if presets:
        known = [p["name"] for p in json.loads((source / "CMakePresets.json").read_text())["configurePresets"]]
        for preset in presets:
            if preset not in known:
                fail(place, f"no CMake preset {preset}, there are {' '.join(known)}")
        return
    environment = {**os.environ, "PATH": f"{build / 'bin'}:{os.environ['PATH']}"}
    done = subprocess.run(command, shell=True, cwd=folder, env=environment, text=True, timeout=600,
                          stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    if done.returncode != code:
        fail(place, f"{command}: exit code {done.returncode}, expected {code}:\n{done.stdout[-2000:]}")
    elif output is not None and not matches(output, done.stdout.splitlines()):
        fail(place, f"{command}: prints\n{done.stdout[:4000]}\nexpected\n" + "\n".join(output))


def check_blocks(document, text):
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        (folder / "build").symlink_to(build)
        for name in ["test", "docs", "tools"]:
            (folder / name).symlink_to(source / name)
        for name in ["config.json", "llama-3.2-1b.json"]:
            shutil.copy(source / "test" / "models" / "llama-3.2-1b.json", folder / name)
        for path in (source / "test" / "models").glob("*.json"):
            shutil.copy(path, folder)
        count = 0
        for language, line, lines in blocks(text):
            if language in ("sh", "console"):
                for offset, command, code, output in commands(language, lines):
                    check_command(f"{document}:{line + offset}", command, code, output, folder)
                    count += 1
            elif language == "json" and "…" not in "".join(lines):
                try:
                    json.loads("\n".join(lines))
                except ValueError as error:
                    fail(f"{document}:{line}", f"the JSON block does not parse: {error}")
        return count


def exists(path, folder):
    return any(next(base.glob(path.rstrip("/")), None) is not None if "*" in path else (base / path).exists()
               for base in (source, folder))


def check_paths(document, text):
    prose = re.sub(r"^( *)```.*?^\1```", lambda block: "\n" * block[0].count("\n"), text, flags=re.M | re.S)
    count = 0
    for found in re.finditer(r"\]\(([^)\s]+)\)|`([^`\n]+)`", prose):
        place = f"{document}:{prose[: found.start()].count(chr(10)) + 1}"
        link, code = found[1], found[2]
        if link and not re.match(r"[a-z]+:", link):
            path = link.partition("#")[0]
            count += 1
            if path and not (document.parent / path).exists():
                fail(place, f"the link's {link} does not exist")
        elif code and re.fullmatch(rf"(?:{TOP})(?:/[\w.*-]+)*/?", code) and "/" in code:
            count += 1
            if not exists(code, document.parent):
                fail(place, f"the path {code} does not exist")
        elif code and (code.startswith("tools/dev ") or "--preset" in code):
            for command in code.split("&&"):
                check_command(place, command.strip(), 0, None, source)
    return count


def check_comments():
    """Paths of tests and documents in comments."""
    names = sorted(str(path.relative_to(source)) for top in TOP.split("|") for path in (source / top).rglob("*"))
    count = 0
    for name in names:
        if not re.search(r"\.(cpp|h|td|py|cmake|mlir|test)$|CMakeLists\.txt$|tools/dev$", name) or not (source / name).is_file():
            continue
        for number, line in enumerate((source / name).read_text(errors="replace").splitlines(), 1):
            comment = re.search(r"(//|#|;;|\"\"\").*", line)
            if not comment or line.startswith("#include") or "RUN:" in line:
                continue
            for path in re.findall(rf"(?<![\w./%-])(?:test|docs)/[\w./-]*\w\.(?:cpp|h|py|md|mlir|test|json)\b(?!\.)", comment[0]):
                count += 1
                if not (source / path).exists():
                    fail(f"{name}:{number}", f"the path {path} does not exist")
    return count


def check_options():
    """docs/commands.md has every option of every verb."""
    page = (source / "docs" / "commands.md").read_text()
    for program, *verb in [["attncc"], ["attncc", "check"], ["attncc-rt"], ["attncc-rt", "inspect"],
                           ["attncc-rt", "verify"], ["attncc-rt", "bench"], ["attncc-rt", "warm"], ["attncc-rt", "doctor"]]:
        shown = subprocess.run([build / "bin" / program, *verb, "--help"], capture_output=True, text=True).stdout
        options = set(re.findall(r"(?<!\w)--[a-z][a-z-]+", shown))
        if not options:
            fail("docs.py", f"{' '.join([program, *verb])} --help shows no option")
        for option in sorted(options):
            if f"`{option}`" not in page:
                fail("docs/commands.md", f"says nothing of {option} of {' '.join([program, *verb])}")


run, named = 0, check_comments()
check_options()
for document in DOCUMENTS:
    text = document.read_text()
    named += check_paths(document, text)
    run += check_blocks(document, text)
print(f"{len(DOCUMENTS)} documents, {run} commands, {named} paths")
if run == 0 or named == 0:
    fail("docs.py", "found nothing to check")
print("\n".join(failures))
sys.exit(bool(failures))
