// See Machine.h.
#include "runtime/bench/Machine.h"

#include "runtime/device/CudaDevice.h"

namespace attncc::bench {

namespace {
class GraphRecording final : public Recording {
public:
  std::unique_ptr<device::Graph> graph;
  std::unique_ptr<device::Event> begin, end;
  device::Stream stream = nullptr;

  Result<double> run() override {
    for (const Result<void> &done : {graph->launch(stream), begin->record(stream),
                                     graph->launch(stream), end->record(stream), end->wait()})
      if (!done)
        return done.error();
    Result<double> microseconds = end->microsecondsSince(*begin);
    if (microseconds && !(*microseconds > 0))
      return makeError(Status::DeviceError, "the driver says that a graph took no time");
    return microseconds;
  }
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
    auto recording = std::make_unique<GraphRecording>();
    recording->stream = ownStream;
    for (std::unique_ptr<device::Event> *event : {&recording->begin, &recording->end}) {
      Result<std::unique_ptr<device::Event>> created = device.createEvent();
      if (!created)
        return created.error();
      *event = std::move(*created);
    }
    Result<std::unique_ptr<device::Graph>> graph =
        device.capture(ownStream, [&] { return work(ownStream); });
    if (!graph)
      return graph.error();
    recording->graph = std::move(*graph);
    return std::unique_ptr<Recording>(std::move(recording));
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
    Diagnostic note;
    note.severity = Diagnostic::Severity::Note;
    note.message = "--device=cuda:0 is the first GPU; attncc verify runs a package on a simulator";
    error.diagnostic.notes.push_back(std::move(note));
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
