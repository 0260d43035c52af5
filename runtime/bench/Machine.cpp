// See Machine.h.
#include "runtime/bench/Machine.h"

#include "runtime/device/CudaDevice.h"

#include <chrono>
#include <thread>

namespace attncc::bench {

namespace {
class GraphRecording final : public Recording {
public:
  static Result<std::unique_ptr<Recording>> make(device::CudaDevice &device, device::Stream stream,
                                                 std::unique_ptr<device::Graph> graph) {
    std::unique_ptr<GraphRecording> recording(new GraphRecording(device, stream));
    recording->graph = std::move(graph);
    if (Result<void> made = recording->makeEvents(2); !made)
      return made.error();
    return std::unique_ptr<Recording>(std::move(recording));
  }

  Result<double> run() override {
    if (Result<void> launched = graph->launch(stream); !launched)
      return launched.error();
    Result<std::vector<double>> times = runs(1);
    if (!times)
      return times.error();
    return times->front();
  }

  Result<std::vector<double>> runs(int64_t count) override {
    if (Result<void> made = makeEvents(size_t(count) + 1); !made)
      return made.error();
    Result<void> state = events.front()->record(stream);
    for (size_t i = 1; state && i <= size_t(count); ++i)
      if (state = graph->launch(stream); state)
        state = events[i]->record(stream);
    if (state)
      state = events[size_t(count)]->wait();
    std::vector<double> times;
    for (size_t i = 1; state && i <= size_t(count); ++i) {
      Result<double> microseconds = events[i]->microsecondsSince(*events[i - 1]);
      if (!microseconds)
        state = microseconds.error();
      else if (!(*microseconds > 0))
        state = makeError(Status::DeviceError, "the driver says that a graph took no time");
      else
        times.push_back(*microseconds);
    }
    if (!state)
      return state.error();
    return times;
  }

private:
  GraphRecording(device::CudaDevice &device, device::Stream stream)
      : device(device), stream(stream) {}
  /// At least `count`.
  Result<void> makeEvents(size_t count) {
    while (events.size() < count) {
      Result<std::unique_ptr<device::Event>> created = device.createEvent();
      if (!created)
        return created.error();
      events.push_back(std::move(*created));
    }
    return {};
  }

  device::CudaDevice &device;
  device::Stream stream;
  std::unique_ptr<device::Graph> graph;
  std::vector<std::unique_ptr<device::Event>> events; // between runs
};

class GraphStopwatch final : public Stopwatch {
public:
  static Result<std::shared_ptr<Stopwatch>> open(std::shared_ptr<device::Device> owner) {
    device::CudaDevice &device = *owner->asCuda();
    Result<device::Stream> stream = device.openStream();
    if (!stream)
      return stream.error();
    return std::shared_ptr<Stopwatch>(
        std::make_shared<GraphStopwatch>(std::move(owner), device, *stream));
  }
  GraphStopwatch(std::shared_ptr<device::Device> owner, device::CudaDevice &device,
                 device::Stream stream)
      : owner(std::move(owner)), device(device), ownStream(stream) {}
  ~GraphStopwatch() override { (void)device.closeStream(ownStream); }

  device::Stream stream() const override { return ownStream; }

  Result<std::unique_ptr<Recording>> record(const Work &work) override {
    Result<std::unique_ptr<device::Graph>> graph =
        device.capture(ownStream, [&] { return work(ownStream); });
    if (!graph)
      return graph.error();
    return GraphRecording::make(device, ownStream, std::move(*graph));
  }

  void rest(double microseconds) override {
    std::this_thread::sleep_for(std::chrono::duration<double, std::micro>(microseconds));
  }

private:
  std::shared_ptr<device::Device> owner;
  device::CudaDevice &device;
  device::Stream ownStream;
};
} // namespace

Result<Machine> openMachine(const std::string &deviceName) {
  Result<std::shared_ptr<device::Device>> opened = device::Device::open(deviceName);
  if (!opened)
    return opened.error();
  device::CudaDevice *cuda = (*opened)->asCuda();
  if (!cuda) {
    Error error = makeError(Status::Unsupported, "a simulator does not tell time");
    error.diagnostic.notes.push_back(
        makeNote("--device=cuda:0 is the first GPU; attncc verify runs a package on a simulator"));
    return error;
  }
  Machine machine;
  machine.l2Bytes = cuda->l2Bytes();
  Result<std::shared_ptr<Stopwatch>> stopwatch = GraphStopwatch::open(*opened);
  if (!stopwatch)
    return stopwatch.error();
  machine.stopwatch = std::move(*stopwatch);
  machine.device = std::move(*opened);
  return machine;
}

Result<Memory> Memory::allocate(std::shared_ptr<device::Device> device, size_t bytes,
                                const char *label) {
  Result<void *> allocated = device->allocate(bytes, label);
  if (!allocated)
    return allocated.error();
  Memory memory;
  memory.device = std::move(device);
  memory.begin = *allocated;
  memory.size = bytes;
  return memory;
}

Memory &Memory::operator=(Memory &&other) noexcept {
  std::swap(device, other.device);
  std::swap(begin, other.begin);
  std::swap(size, other.size);
  return *this;
}

Memory::~Memory() {
  if (begin)
    (void)device->free(begin);
}

} // namespace attncc::bench
