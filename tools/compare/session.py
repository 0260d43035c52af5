"""One run on a GPU: for each shape the inputs, everyone's outputs checked, then everyone timed."""
import gc
import sys
import time
import traceback

import torch

from compare import machine, packages, peers, report, runtime, timing
from compare.inputs import PEER_TOLERANCE, Inputs, WrongResult, sets_for

WRONG, DEVICE_FAILED = 5, 4


class DeviceFailed(Exception):
    """The GPU's context is lost: nothing can run in this process any more."""


def say(message):
    print(message, file=sys.stderr, flush=True)


class Ours:
    """attncc as one of those that are compared: a policy, and a package that serves the shape."""

    def __init__(self, session, choice, policy, name):
        self.session, self.choice, self.policy = session, choice, policy
        self.row = {"name": name, "column": name, "library": report.OURS, "kv": "paged", "policy": policy,
                    "package": str(choice.folder), "target": choice.target, "schedule": choice.schedule}

    def prepare(self, inputs):
        """run(i) as peers.Peer has it; memory and plan live until close()."""
        package = self.session.package(self.choice)
        self.row["package_id"] = self.session.runtime.package_id(package)
        table = inputs.block_table
        self.attention = runtime.Attention(
            self.session.runtime, package, self.choice, inputs.shape, self.policy, inputs.query_start.data_ptr(),
            inputs.kv_lengths.data_ptr(), table.data_ptr(), table.stride(0))
        size = self.attention.workspace_bytes()
        self.workspace = torch.empty(size, dtype=torch.uint8, device="cuda")
        self.attention.set_workspace(self.workspace.data_ptr(), size, stream())
        for key, value in zip(inputs.key_pages, inputs.value_pages):
            self.attention.bind(key.data_ptr(), value.data_ptr(), inputs.num_pages)

        def run(i):
            self.attention.attend(i, inputs.query[i].data_ptr(), inputs.output.data_ptr(), stream())
            return inputs.output
        return run

    def accept(self, verdict):
        self.attention.check(stream())
        if not verdict.ratio <= 1:
            raise WrongResult(f"the error is {verdict.ratio:.2f} times what is allowed")

    def close(self):
        if hasattr(self, "attention"):
            self.attention.close()


class Theirs:
    """A peer."""

    def __init__(self, peer):
        self.peer = peer
        self.row = {"name": peer.name, "column": peer.column, "library": peer.library, "kv": peer.kv}

    def prepare(self, inputs):
        return self.peer.prepare(inputs)

    def accept(self, verdict):
        if not verdict.relative <= PEER_TOLERANCE:
            raise WrongResult(f"the relative error is {verdict.relative:.4f}, allowed are {PEER_TOLERANCE}")

    def close(self):
        pass


def stream():
    return torch.cuda.current_stream().cuda_stream


class Session:
    """options: as tools/compare-attention parses them. report: what is written, complete after each shape."""

    def __init__(self, options, begin):
        self.options, self.begin, self.opened, self.exit_code = options, begin, {}, 0
        self.runtime = runtime.Runtime(options.library, "cuda:0")
        self.report = {"schema": "attncc.compare/1", **machine.describe(), "attncc": self.runtime.version,
                       "options": {name: value for name, value in vars(options).items() if value is not None},
                       "ceilings": {}, "shapes": [], "skipped": [], "not_installed": {}, "means": {}}

    def capability(self):
        return tuple(self.report["capability"])

    def package(self, choice):
        key = choice.folder, choice.target
        if key not in self.opened:
            self.opened[key] = self.runtime.open_package(*key)
        return self.opened[key]

    def out_of_time(self):
        return self.options.budget is not None and time.monotonic() - self.begin > self.options.budget

    def write(self):
        self.report["means"] = report.means(self.report["shapes"])
        self.report["seconds"] = round(time.monotonic() - self.begin, 1)
        if self.options.json:
            report.write_json(self.options.json, self.report)

    def ceilings(self):
        found = self.report["ceilings"]
        try:
            found["read"] = machine.read_bandwidth(self.options.attncc_rt)
            say(f"read: {found['read']['gbps']:.0f} GB/s, by {found['read']['by']}")
        except (OSError, RuntimeError) as error:
            say(f"no read bandwidth: {error}")
        found["matrix"] = machine.matrix_product(torch.bfloat16)
        say("matrix product, bf16: " + ", ".join(f"{taken['tflops']:.0f} TFLOP/s {state}"
                                                 for state, taken in found["matrix"].items()))
        torch.cuda.empty_cache()

    def contestants(self, shape, choice):
        policies = self.options.policy if shape.table == "decode" else self.options.policy[:1]
        ours = [Ours(self, choice, policy, report.OURS if policy == policies[0] else f"{report.OURS}-{policy}")
                for policy in policies]
        def named(peer, parts):
            return any(part in peer.name for part in parts)

        theirs = [Theirs(peer) for peer in peers.PEERS
                  if peer.table == shape.table and peer.serves(shape)
                  and peer.name not in self.report["not_installed"]
                  and (not self.options.peers or named(peer, self.options.peers))
                  and not named(peer, self.options.without)]
        return ours + theirs

    def attempt(self, contestant, shape, action):
        """action(), whose failure is noted in the row; None then."""
        row = contestant.row
        try:
            return action()
        except peers.NotInstalled as error:
            self.report["not_installed"][row["name"]] = row["failed"] = str(error)
        except WrongResult as error:
            row["failed"] = f"wrong result: {error}"
            if isinstance(contestant, Ours):
                self.exit_code = WRONG
        except Exception as error:
            row["failed"] = f"{type(error).__name__}: {error}".strip()
            places = traceback.extract_tb(error.__traceback__)[-2:]
            row["where"] = [f"{place.filename}:{place.lineno}" for place in places]
            if isinstance(contestant, Ours):
                self.exit_code = self.exit_code or (DEVICE_FAILED if device_failed(error) else 1)
        say(f"  {row['name']}: {row['failed'].splitlines()[0][:200]}")
        try:
            torch.cuda.synchronize()
        except RuntimeError as error:
            raise DeviceFailed(f"{row['name']}, {shape.name}: {error}") from error
        return None

    def ready(self, contestant, inputs):
        """The contestant's checked and captured calls."""
        row = contestant.row
        run = contestant.prepare(inputs)
        inputs.output.fill_(float("nan"))
        verdict = inputs.check(run(0).reshape(inputs.output.shape))
        row |= {"error_ratio": verdict.ratio, "relative_error": verdict.relative}
        contestant.accept(verdict)
        last = run(inputs.sets - 1).clone()
        graph = timing.capture(run, inputs.sets)
        if graph.captured:  # a replay must leave what the calls did
            graph.output.fill_(float("nan"))
            graph.replay()
            difference = (graph.output.float() - last.float()).norm() / last.float().norm()
            if not difference <= PEER_TOLERANCE:
                raise WrongResult(f"a replayed graph is {difference:.4f} off the same calls")
        row |= {"calls": graph.calls, "captured": graph.captured, "sets": inputs.sets}
        return graph

    def take_turns(self, graphs, shape):
        try:
            return timing.alternate(graphs, self.options.samples) if graphs else {}
        except RuntimeError as error:
            raise DeviceFailed(f"{shape.name}: {error}") from error

    def run_shape(self, shape, choice):
        inputs = Inputs(shape, "cuda", sets_for(shape, self.report["l2_bytes"]))
        record = {"shape": shape.name, "table": shape.table, "batch": shape.batch, "kv_lengths": list(shape.kv_lengths),
                  "query_tokens": shape.query_tokens, "query_heads": shape.query_heads, "kv_heads": shape.kv_heads,
                  "head_dim": shape.head_dim, "causal": shape.causal, "dtype": shape.dtype,
                  "page_size": shape.page_size, "kv_bytes": shape.kv_bytes, "flops": shape.flops, "rows": []}
        self.report["shapes"].append(record)
        contestants, graphs = self.contestants(shape, choice), {}
        try:
            for contestant in contestants:
                record["rows"].append(contestant.row)
                graph = self.attempt(contestant, shape, lambda: self.ready(contestant, inputs))
                if graph is None:
                    continue
                if shape.table == "decode":
                    graphs[contestant] = graph
                    continue
                taken = self.attempt(contestant, shape, lambda: timing.power_states(graph))
                if taken:
                    contestant.row["times"] = {"burst": vars(taken[0]), "sustained": vars(taken[1])}
            for contestant, taken in self.take_turns(graphs, shape).items():
                contestant.row["times"] = {"cold": vars(taken)}
            record["rows"] = [row for row in record["rows"] if row["name"] not in self.report["not_installed"]]
            for row in record["rows"]:
                for taken in row.get("times", {}).values():
                    if shape.table == "decode":
                        taken["gbps"] = shape.kv_bytes / taken["us"] / 1e3
                    else:
                        taken["tflops"] = report.tflops(record, taken["us"])
        finally:
            graphs.clear()
            for contestant in contestants:
                contestant.close()
        record["peak_bytes"] = torch.cuda.max_memory_allocated()

    def run(self, chosen):
        """chosen: (shape, its Choice). Returns the exit code."""
        try:
            self.ceilings()
            for shape, choice in chosen:
                if self.out_of_time():
                    self.report["skipped"].append({"shape": shape.name, "reason": "the time of --budget was over"})
                    continue
                say(f"[{time.monotonic() - self.begin:5.0f} s] {shape.table} {shape.name}")
                try:
                    self.run_shape(shape, choice)
                except torch.cuda.OutOfMemoryError as error:
                    self.report["skipped"].append({"shape": shape.name, "reason": str(error).splitlines()[0]})
                gc.collect()
                torch.cuda.empty_cache()
                self.write()
        except DeviceFailed as error:
            say(f"error: the device failed: {error}")
            self.exit_code = DEVICE_FAILED
        except KeyboardInterrupt:
            say("interrupted")
            self.exit_code = 130
        self.write()
        return self.exit_code


def choose_all(shapes, options, capability):
    """((shape, Choice) of those with a package, shapes without)."""
    choices = [(shape, packages.choose(shape, options.packages, capability, options.target)) for shape in shapes]
    return [pair for pair in choices if pair[1]], [shape for shape, choice in choices if not choice]


def device_failed(error):
    return isinstance(error, runtime.AttnccError) and error.status == runtime.DEVICE_ERROR
