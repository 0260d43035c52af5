#include "runtime/package/Package.h"
#include "runtime/support/Parallel.h"
#include "runtime/support/Sha256.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

using namespace attncc;
using namespace attncc::package;

namespace {

/// An open file descriptor, closed at the end of its scope.
struct Descriptor {
  int number = -1;
  explicit Descriptor(int number) : number(number) {}
  Descriptor(Descriptor &&other) : number(std::exchange(other.number, -1)) {}
  Descriptor &operator=(Descriptor &&other) {
    std::swap(number, other.number);
    return *this;
  }
  ~Descriptor() {
    if (number >= 0)
      close(number);
  }
};

Error fileError(const std::string &file, std::string code, std::string message) {
  Error error = makeError(Status::InvalidPackage, std::move(message));
  error.diagnostic.code = std::move(code);
  error.diagnostic.where.file = file;
  return error;
}

/// The whole regular file `path` below the folder; `shown` names it in errors. No component of the
/// path may be a link, and devices and pipes are not read.
Result<std::string> readFile(int folder, const std::string &path, const std::string &shown,
                             int64_t maxBytes) {
  Descriptor parent(-1);
  size_t slash = path.find('/');
  int directory = folder;
  auto failed = [&](int code) {
    return fileError(shown, "package-file",
                     code == ELOOP ? std::string("cannot be read: it is a link")
                                   : std::string("cannot be read: ") + std::strerror(code));
  };
  if (slash != path.npos) {
    parent = Descriptor(openat(folder, path.substr(0, slash).c_str(),
                               O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
    if (parent.number < 0)
      return failed(errno);
    directory = parent.number;
  }
  Descriptor file(openat(directory, path.substr(slash == path.npos ? 0 : slash + 1).c_str(),
                         O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC));
  if (file.number < 0)
    return failed(errno);
  struct stat status;
  if (fstat(file.number, &status) != 0)
    return failed(errno);
  if (!S_ISREG(status.st_mode))
    return fileError(shown, "package-file", "cannot be read: it is not a regular file");
  if (status.st_size > maxBytes)
    return fileError(shown, "package-file",
                     "has " + std::to_string(status.st_size) + " bytes, at most " +
                         std::to_string(maxBytes) + " are read");
  std::string text(static_cast<size_t>(status.st_size), '\0');
  size_t done = 0;
  while (done < text.size()) {
    ssize_t got = read(file.number, text.data() + done, text.size() - done);
    if (got < 0 && errno == EINTR)
      continue;
    if (got < 0)
      return failed(errno);
    if (got == 0)
      break;
    done += static_cast<size_t>(got);
  }
  text.resize(done);
  return text;
}

Result<void> readListed(Folder &package, int folder, const std::string &path, int64_t bytes,
                        const std::string &sha256) {
  std::string shown = package.path + "/" + path;
  Result<std::string> text = readFile(folder, path, shown, kMaxFileBytes);
  if (!text)
    return text.error();
  const std::string advice =
      ": the file changed after it was compiled; run attncc again, or copy the whole folder again";
  if (static_cast<int64_t>(text->size()) != bytes)
    return fileError(shown, "package-size",
                     "has " + std::to_string(text->size()) + " bytes, manifest.json says " +
                         std::to_string(bytes) + advice);
  if (std::string digest = sha256Hex(*text); digest != sha256)
    return fileError(shown, "package-hash",
                     "sha-256 is " + digest.substr(0, 8) + "…, manifest.json says " +
                         sha256.substr(0, 8) + "…" + advice);
  package.files[path] = std::move(*text);
  return {};
}

} // namespace

Result<Folder> package::openFolder(const std::string &path, std::string_view expectedId) {
  Folder package;
  package.path = path;
  while (package.path.size() > 1 && package.path.back() == '/')
    package.path.pop_back();
  Descriptor folder(open(package.path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (folder.number < 0)
    return fileError(package.path, "package-file",
                     std::string("cannot be opened as a folder: ") + std::strerror(errno));
  const std::string shown = package.path + "/manifest.json";
  Result<std::string> text = readFile(folder.number, "manifest.json", shown, kMaxManifestBytes);
  if (!text)
    return text.error();
  package.manifestText = std::move(*text);
  package.id = sha256Hex(package.manifestText);
  if (!expectedId.empty() && expectedId != package.id)
    return fileError(shown, "package-id",
                     "the package's id is " + package.id + ", expected " +
                         std::string(expectedId.substr(0, 64)));
  Result<Manifest> manifest = parseManifest(package.manifestText, shown);
  if (!manifest)
    return manifest.error();
  package.manifest = std::move(*manifest);
  const SpecReference &spec = package.manifest.spec;
  if (Result<void> read = readListed(package, folder.number, spec.file, spec.bytes, spec.sha256);
      !read)
    return read.error();
  for (const KernelEntry &kernel : package.manifest.kernels) {
    Result<void> read =
        readListed(package, folder.number, kernel.file, kernel.bytes, kernel.sha256);
    if (const std::optional<Cubin> &cubin = kernel.cubin; read && cubin)
      read = readListed(package, folder.number, cubin->file, cubin->bytes, cubin->sha256);
    if (!read)
      return read.error();
  }
  return package;
}

std::unique_ptr<LoadedKernel> Package::prepare(const KernelEntry &entry) const {
  auto kernel = std::make_unique<LoadedKernel>();
  kernel->entry = &entry;
  kernel->layerClass = manifest().findClass(entry.layerClass);
  kernel->group = manifest().findGroup(kernel->layerClass->cacheGroup);
  if (!entry.splitRule.empty())
    kernel->splitRule = &manifest().splitRules.at(entry.splitRule).rule;

  // parseManifest has parsed these rules once, so they parse again.
  const Interface &interface = manifest().interfaces.at(entry.interface);
  for (size_t i = 0; i < 3; ++i)
    kernel->grid[i] = *Formula::parse(interface.grid[i]);
  if (!interface.workspaceBytes.empty())
    kernel->workspaceBytes = *Formula::parse(interface.workspaceBytes);
  if (!interface.trafficBytes.empty())
    kernel->trafficBytes = *Formula::parse(interface.trafficBytes);
  for (const auto &[param, rule] : entry.tensorMaps) {
    LoadedTensorMap &map = kernel->tensorMaps[param];
    map.rule = &rule;
    for (const std::string &text : rule.dims)
      map.dims.push_back(*Formula::parse(text));
    for (const std::string &text : rule.strides)
      map.strides.push_back(*Formula::parse(text));
  }

  for (auto [name, interval] : {std::pair("num_sequences", &kernel->numSequences),
                                std::pair("max_query_length", &kernel->maxQueryLength),
                                std::pair("max_kv_length", &kernel->maxKvLength)})
    if (auto given = entry.loadClass.find(name); given != entry.loadClass.end())
      *interval = given->second;

  NameValues &names = kernel->constants;
  if (entry.rows)
    names[Name::Rows] = entry.rows;
  names[Name::Units] = entry.block[0] / 32;
  names[Name::Group] = kernel->layerClass->group;
  names[Name::QueryHeads] = kernel->layerClass->queryHeads;
  names[Name::KvHeads] = kernel->group->kvHeads;
  names[Name::KDim] = kernel->group->k.dim;
  names[Name::VDim] = kernel->group->v.dim;
  names[Name::KBytes] = dtypeBytes(kernel->group->k.dtype);
  names[Name::VBytes] = dtypeBytes(kernel->group->v.dtype);
  names[Name::QBytes] = dtypeBytes(kernel->layerClass->dtype);
  names[Name::PageSize] = kernel->group->pageSize;
  return kernel;
}

Error Package::jitForbidden(const KernelEntry &entry, const std::string &why) const {
  Error error = makeError(Status::Unsupported, "forbid_jit is set, and kernel " + entry.entry +
                                                   " would have to be compiled for " +
                                                   owner->info().description + ": " + why);
  error.diagnostic.where.file = owner->info().name;
  error.diagnostic.notes.push_back(
      makeNote("attncc … --cubin assembles kernels for a package's targets; without forbid_jit "
               "the driver compiles the PTX"));
  return error;
}

Result<void> Package::load(LoadedKernel &kernel, bool forbidJit) const {
  const KernelEntry &entry = *kernel.entry;
  device::KernelSource source;
  source.ptx = content.files.at(entry.file);
  source.entry = entry.entry;
  source.shared = static_cast<uint32_t>(entry.shared);
  source.dependentLaunch = entry.dependentLaunch;
  for (int64_t offset : manifest().interfaces.at(entry.interface).offsets())
    source.paramOffsets.push_back(static_cast<uint32_t>(offset));
  kernel.whyPtx = cubinObstacle(entry, owner->info());
  if (kernel.whyPtx.empty()) {
    source.cubin = content.files.at(entry.cubin->file);
    source.file = path() + "/" + entry.cubin->file;
    Result<std::unique_ptr<device::Kernel>> made = owner->loadKernel(source);
    if (made) {
      kernel.kernel = std::move(*made);
      return {};
    }
    if (made.error().diagnostic.code != device::kCubinRefused)
      return made.error();
    kernel.whyPtx = "the cubin was refused: " + made.error().diagnostic.message;
    source.cubin = {};
  }
  if (forbidJit)
    return jitForbidden(entry, kernel.whyPtx);
  source.file = path() + "/" + entry.file;
  Result<std::unique_ptr<device::Kernel>> made = owner->loadKernel(source);
  if (!made)
    return made.error();
  kernel.kernel = std::move(*made);
  return {};
}

Result<std::shared_ptr<const Package>> Package::open(std::shared_ptr<device::Device> device,
                                                     const std::string &folder,
                                                     const LoadOptions &options) {
  Result<Folder> content = openFolder(folder, options.expectedId);
  if (!content)
    return content.error();
  std::shared_ptr<Package> package(new Package(std::move(device), std::move(*content)));
  Result<TargetChoice> choice =
      chooseTargets(package->manifest(), package->owner->info(), options.target);
  if (!choice)
    return choice.error();
  package->choice = std::move(*choice);
  for (const auto &[layerClass, target] : package->choice.chosen)
    package->classes[layerClass].target = target;
  for (const KernelEntry &entry : package->manifest().kernels)
    if (isLaunchable(entry) && package->choice.chosen.at(entry.layerClass) == entry.target &&
        obstacle(entry, package->owner->info()).empty())
      package->loaded.push_back(package->prepare(entry));
  Result<void> done = inParallel(package->loaded.size(), options.threads, [&](size_t i) {
    return package->load(*package->loaded[i], options.forbidJit);
  });
  if (!done)
    return done.error();
  for (const std::unique_ptr<LoadedKernel> &kernel : package->loaded) {
    ClassKernels &roles = package->classes[kernel->entry->layerClass];
    const std::string &role = kernel->entry->role;
    const bool plain = kernel->entry->prologue == Prologue::None;
    (role == "append" && plain ? roles.appendWithoutPrologue
     : role == "append"        ? roles.append
     : role == "decode"        ? roles.decode
     : role == "prefill"       ? roles.prefill
     : role == "merge"         ? roles.merge
                               : roles.mergeStates)
        .push_back(kernel.get());
  }
  return std::shared_ptr<const Package>(std::move(package));
}

size_t Package::numCubins() const {
  return static_cast<size_t>(std::count_if(
      loaded.begin(), loaded.end(), [](const auto &kernel) { return kernel->whyPtx.empty(); }));
}

std::string Package::refusedCubins() const {
  size_t count = 0;
  const LoadedKernel *first = nullptr;
  for (const std::unique_ptr<LoadedKernel> &kernel : loaded)
    if (!kernel->whyPtx.empty() && cubinObstacle(*kernel->entry, owner->info()).empty()) {
      ++count;
      first = first ? first : kernel.get();
    }
  if (!first)
    return {};
  return std::to_string(count) + " of " + std::to_string(loaded.size()) +
         " kernels were compiled from PTX although they have a cubin; " + first->entry->entry +
         ": " + first->whyPtx;
}
