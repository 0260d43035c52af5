"""Adds up the JUnit reports of ctest and lit: the last line is "N passed, N failed", with ", N skipped" where any was.

usage: count-tests.py REPORT.xml…
A test that could not be run, and a report that is missing or holds no test, count as failed. Ends with exit code 1
when anything failed. Before the last line: the failed tests, the skipped ones with the reason, and the slowest.
"""
import sys
import xml.etree.ElementTree as ElementTree

passed, failed, skipped, times = 0, [], [], []
for path in sys.argv[1:]:
    try:
        cases = list(ElementTree.parse(path).iter("testcase"))
    except (OSError, ElementTree.ParseError) as error:
        failed.append(f"{path}: no report: {error}")
        continue
    ran = 0
    for case in cases:
        # lit's classname is the path of the test's folder, with dots; ctest's is the name again.
        folder, name = case.get("classname", ""), case.get("name", "")
        name = name if folder == name else f"{folder.partition('.')[2].replace('.', '/')}/{name}"
        skip = case.find("skipped")
        reason = "" if skip is None else skip.get("message", "")
        if "not selected" in reason:
            continue
        ran += 1
        times.append((float(case.get("time") or 0), name))
        if case.find("failure") is not None or case.find("error") is not None or "Unable to find" in reason:
            failed.append(f"{name} {reason}".strip())
        elif skip is not None or case.get("status") in ("notrun", "disabled"):
            skipped.append(f"{name}: {reason or 'disabled'}")
        else:
            passed += 1
    if not ran:
        failed.append(f"{path}: holds no test")

for line in skipped:
    print(f"skipped: {line}")
for line in failed:
    print(f"failed: {line}")
print("slowest: " + ", ".join(f"{name} {seconds:.1f} s" for seconds, name in sorted(times, reverse=True)[:5]))
print(f"{passed} passed, {len(failed)} failed" + (f", {len(skipped)} skipped" if skipped else ""))
sys.exit(bool(failed))
