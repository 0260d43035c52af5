"""tools/count-tests.py: what counts as passed, failed and skipped in the reports of ctest and lit.

usage: count-tests.py SOURCE
"""
import pathlib
import subprocess
import sys
import tempfile

script = pathlib.Path(sys.argv[1]) / "tools" / "count-tests.py"
CTEST = """<testsuite>
<testcase name="good" classname="good" time="0.5" status="run"/>
<testcase name="bad" classname="bad" time="2" status="fail"><failure message=""/></testcase>
<testcase name="skip" classname="skip" time="0" status="notrun"><skipped message="SKIP_RETURN_CODE=77"/></testcase>
<testcase name="missing" classname="missing" time="0" status="notrun"><skipped message="Unable to find executable"/></testcase>
<testcase name="off" classname="off" time="0" status="disabled"/>
</testsuite>"""
LIT = """<testsuites><testsuite name="attncc">
<testcase classname="attncc.driver" name="help.test" time="1"/>
<testcase classname="attncc.driver" name="usage.test" time="1"><failure><![CDATA[no]]></failure></testcase>
<testcase classname="attncc.driver" name="ptxas.test" time="0"><skipped message="Missing required feature(s): ptxas"/></testcase>
<testcase classname="attncc.driver" name="other.test" time="0"><skipped message="Test not selected (--filter, --max-tests)"/></testcase>
</testsuite></testsuites>"""
failures = []


def count(*reports):
    """Exit code and output for these reports' texts; None is a report that does not exist."""
    with tempfile.TemporaryDirectory() as folder:
        paths = [pathlib.Path(folder) / f"{number}.xml" for number in range(len(reports))]
        for path, text in zip(paths, reports):
            if text is not None:
                path.write_text(text)
        done = subprocess.run([sys.executable, script, *paths], text=True, capture_output=True)
        return done.returncode, done.stdout.splitlines()


def expect(what, reports, code, last, *lines):
    found, output = count(*reports)
    if found != code or output[-1:] != [last] or not set(lines) <= set(output):
        failures.append(f"{what}: exit code {found}, expected {code}; {output}, expected {lines} and at last {last}")


expect("both", [CTEST, LIT], 1, "2 passed, 3 failed, 3 skipped", "failed: bad", "failed: missing Unable to find executable",
       "failed: driver/usage.test", "skipped: off: disabled", "skipped: driver/ptxas.test: Missing required feature(s): ptxas")
expect("all good", ['<testsuite><testcase name="a" classname="a" time="1"/></testsuite>'], 0, "1 passed, 0 failed")
expect("no report", [LIT, None], 1, "1 passed, 2 failed, 1 skipped")
expect("cut off", ["<testsuite><testcase"], 1, "0 passed, 1 failed")
expect("empty", ["<testsuite/>"], 1, "0 passed, 1 failed")
print("\n".join(failures))
sys.exit(bool(failures))
