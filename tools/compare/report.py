"""What was measured, as JSON and as tables.

A shape's record: "shape" (the name), "table", "kv_bytes", "flops" and "rows". A row: "name", "column", "library", "kv"
and either "failed" with a reason or "times": {state: {"us", "mad_us", "samples"}}. Decode has the state "cold", prefill
"sustained" and "burst".
"""
import json
import math
import os
import pathlib

STATES = {"decode": ("cold",), "prefill": ("sustained", "burst")}
OURS = "attncc"
RIVALS = {"best": lambda row: True, "best paged": lambda row: row["kv"] == "paged",
          "cuDNN": lambda row: row["library"] == "cudnn"}


def write_json(path, report):
    """Replaces the file as a whole, so that a run that is killed leaves one that parses."""
    path = pathlib.Path(path)
    new = path.with_name(path.name + ".new")
    new.write_text(json.dumps(report, indent=1) + "\n")
    os.replace(new, path)


def microseconds(row, state):
    return row["times"][state]["us"]


def timed(rows, state):
    return [row for row in rows if state in row.get("times", {})]


def fastest(rows, state):
    return min(timed(rows, state), key=lambda row: microseconds(row, state), default=None)


def ours(record):
    return next((row for row in record["rows"] if row["name"] == OURS), None)


def against(record, state, rival):
    """(name of the fastest such peer, attncc's speed by its speed), or None where one of the two was not timed."""
    row = ours(record)
    peers = [peer for peer in record["rows"] if peer["library"] != OURS and RIVALS[rival](peer)]
    peer = fastest(peers, state)
    if peer is None or row is None or not timed([row], state):
        return None
    return peer["name"], microseconds(peer, state) / microseconds(row, state)


def means(records):
    """{table: {state: {rival: {"ratio": geometric mean, "shapes": how many}}}}"""
    result = {}
    for record in records:
        for state in STATES[record["table"]]:
            for rival in RIVALS:
                found = against(record, state, rival)
                if found:
                    result.setdefault(record["table"], {}).setdefault(state, {}).setdefault(rival, []).append(found[1])
    return {table: {state: {rival: {"ratio": math.exp(sum(map(math.log, ratios)) / len(ratios)), "shapes": len(ratios)}
                            for rival, ratios in rivals.items()} for state, rivals in states.items()}
            for table, states in result.items()}


def tflops(record, microseconds_):
    return record["flops"] / microseconds_ / 1e6


def cell(record, rows):
    """The fastest of the rows: microseconds, or TFLOP/s in each state."""
    states = STATES[record["table"]]
    best = [fastest(rows, state) for state in states]
    if None in best:
        return "failed" if rows else "-"
    if record["table"] == "decode":
        return f"{microseconds(best[0], 'cold'):.1f}"
    return "/".join(f"{tflops(record, microseconds(row, state)):.0f}" for row, state in zip(best, states))


def table_lines(records, table, read_gbps=None):
    """The table as lines of text; [] without records of it."""
    records = [record for record in records if record["table"] == table]
    if not records:
        return []
    columns = list(dict.fromkeys(row["column"] for record in records for row in record["rows"]))
    states = STATES[table]
    header = ["shape", *columns] + [title for rival in ("best", "best paged") for title in (rival, "ratio")]
    if table == "decode":
        header[1:1] = ["KV MB", *(["floor"] if read_gbps else [])]
    lines = [header]
    for record in records:
        line = [record["shape"]]
        if table == "decode":
            line.append(f"{record['kv_bytes'] / 1e6:,.0f}")
            line += [f"{record['kv_bytes'] / read_gbps / 1e3:.1f}"] if read_gbps else []
        line += [cell(record, [row for row in record["rows"] if row["column"] == column]) for column in columns]
        for rival in ("best", "best paged"):
            found = [against(record, state, rival) for state in states]
            line += ["-", "-"] if None in found else [found[0][0], "/".join(f"{ratio:.3f}" for _, ratio in found)]
        lines.append(line)
    widths = [max(len(line[i]) for line in lines) for i in range(len(header))]
    return ["  ".join(text.ljust(width) for text, width in zip(line, widths)).rstrip() for line in lines]


TITLES = {"decode": "decode: microseconds, L2 cold; paged KV but * dense; floor: KV at the read bandwidth; "
                    "ratio: attncc's speed by the peer's",
          "prefill": "prefill: TFLOP/s sustained/burst; attncc, fi-paged and names with paged read paged KV, the "
                     "others dense; ratio: attncc's speed by the peer's"}


def text(report):
    """All tables, the geometric means and what failed."""
    records, ceilings = report["shapes"], report["ceilings"]
    lines = []
    for table in STATES:
        body = table_lines(records, table, ceilings.get("read", {}).get("gbps"))
        lines += ["", TITLES[table], *body] if body else []
    lines.append("")
    for table, states in report["means"].items():
        for state, rivals in states.items():
            parts = [f"{mean['ratio']:.3f} of {rival} ({mean['shapes']} shapes)" for rival, mean in rivals.items()]
            lines.append(f"geometric mean, {table} {state}: attncc's speed is " + ", ".join(parts))
    reasons = {}
    for record in records:
        for row in record["rows"]:
            if "failed" in row:
                reasons.setdefault((row["name"], row["failed"].splitlines()[0][:200]), []).append(record["shape"])
    for (name, reason), shapes in reasons.items():
        more = f" and {len(shapes) - 1} more" if len(shapes) > 1 else ""
        lines.append(f"failed: {name}, {shapes[0]}{more}: {reason}")
    absent = {}
    for name, reason in report["not_installed"].items():
        absent.setdefault(reason, []).append(name)
    lines += [f"not installed: {', '.join(names)}: {reason}" for reason, names in absent.items()]
    lines += [f"skipped: {entry['shape']}: {entry['reason']}" for entry in report["skipped"]]
    return "\n".join(lines)
