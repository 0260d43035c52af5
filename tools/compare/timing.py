"""Times of calls on a GPU: CUDA graphs of as many calls as fill 1.5 ms, between events."""
import dataclasses
import math
import statistics
import time

import torch

SAMPLE_MICROSECONDS = 1500
MOST_CALLS = 1000
WARM_UP_ROUNDS = 4
IDLE_SECONDS = 0.12         # the GPU cools down and its power budget fills up
BURST_MICROSECONDS = 8e3    # before the power limit acts
HEAT_MICROSECONDS = 120e3   # after it has
SUSTAINED_MICROSECONDS = 120e3


@dataclasses.dataclass
class Graph:
    """`calls` calls, over the input sets in turn; replay() puts them on the stream.

    run: what was captured, with all memory that it uses; output: of the last call, of the last input set, which a
    replay writes anew; estimate: microseconds a call; captured: false where the calls are launched one by one.
    """
    replay: object
    run: object
    output: object
    calls: int
    estimate: float
    captured: bool


@dataclasses.dataclass
class Time:
    """Microseconds of one call: the median of `samples` samples, and the median distance from it."""
    us: float
    mad_us: float
    samples: int

    @staticmethod
    def of(samples):
        median = statistics.median(samples)
        return Time(median, statistics.median(abs(sample - median) for sample in samples), len(samples))


def events():
    return torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)


def microseconds(pairs, calls):
    return [before.elapsed_time(after) * 1e3 / calls for before, after in pairs]


def once(replay):
    before, after = events()
    torch.cuda.synchronize()
    before.record()
    replay()
    after.record()
    torch.cuda.synchronize()
    return before.elapsed_time(after) * 1e3


def calls_of(sets, estimate):
    """As many whole turns over the sets as fill a sample."""
    return sets * max(1, math.ceil(min(SAMPLE_MICROSECONDS / estimate, MOST_CALLS) / sets))


def capture(run, sets):
    """A graph of calls run(0), run(1), … run(sets - 1), run(0), …; without one where run cannot be captured."""
    def turns(calls):
        for call in range(calls):
            output = run(call % sets)
        return output

    turns(sets)  # the first call of a library may allocate or load kernels
    estimate = max(once(lambda: turns(sets)) / sets, 0.5)
    try:
        for _ in range(2):  # the first estimate is of launches, where the host is slower than the GPU
            calls = calls_of(sets, estimate)
            graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(graph):
                output = turns(calls)
            graph.replay()
            estimate = once(graph.replay) / calls
            if calls_of(sets, estimate) <= 2 * calls:
                break
        return Graph(graph.replay, run, output, calls, estimate, True)
    except RuntimeError:
        torch.cuda.synchronize()
        calls = calls_of(sets, estimate)
        return Graph(lambda: turns(calls), run, None, calls, estimate, False)


def alternate(graphs, samples):
    """Times of several graphs, by name: one sample of each a round, in an order that rotates."""
    names = list(graphs)
    taken = {name: [] for name in names}
    for number in range(-WARM_UP_ROUNDS, samples):
        turn = number % len(names)
        for name in names[turn:] + names[:turn]:
            pair = events()
            pair[0].record()
            graphs[name].replay()
            pair[1].record()
            if number >= 0:
                taken[name].append(pair)
    torch.cuda.synchronize()
    return {name: Time.of(microseconds(taken[name], graphs[name].calls)) for name in names}


def power_states(graph):
    """(burst, sustained): times after idleness, and while the same work has been going on."""
    each = graph.estimate * graph.calls
    burst = min(20, max(3, int(BURST_MICROSECONDS / each)))
    heat = math.ceil(HEAT_MICROSECONDS / each)
    sustained = max(20, math.ceil(SUSTAINED_MICROSECONDS / each))
    torch.cuda.synchronize()
    time.sleep(IDLE_SECONDS)
    pairs = [events() for _ in range(burst + heat + sustained)]
    for before, after in pairs:
        before.record()
        graph.replay()
        after.record()
    torch.cuda.synchronize()
    taken = microseconds(pairs, graph.calls)
    return Time.of(taken[:burst]), Time.of(taken[burst + heat:])
