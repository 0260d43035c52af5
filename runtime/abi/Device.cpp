// Devices, packages and bound caches of the C interface.
#include "runtime/abi/Abi.h"

using namespace attncc;
using namespace attncc::abi;

attncc_status attncc_device_open(const char *name, attncc_device **device) {
  return call(__func__, [&]() -> Result<void> {
    if (Result<void> given = notNull({{"device", device}}); !given)
      return given.error();
    *device = nullptr;
    if (Result<void> given = notNull({{"name", name}}); !given)
      return given.error();
    Result<std::shared_ptr<device::Device>> opened = device::Device::open(name);
    if (!opened)
      return opened.error();
    *device = new attncc_device{std::move(*opened)};
    return {};
  });
}

attncc_status attncc_device_register(attncc_device *device, void *memory, size_t bytes,
                                     const char *label) {
  return call(__func__, [&]() -> Result<void> {
    if (Result<void> given = notNull({{"device", device}}); !given)
      return given.error();
    return device->device->registerMemory(memory, bytes, label ? label : "memory");
  });
}

attncc_status attncc_device_allocate(attncc_device *device, size_t bytes, void **memory) {
  return call(__func__, [&]() -> Result<void> {
    if (Result<void> given = notNull({{"memory", memory}}); !given)
      return given.error();
    *memory = nullptr;
    if (Result<void> given = notNull({{"device", device}}); !given)
      return given.error();
    Result<void *> allocated = device->device->allocate(bytes, "allocation");
    if (!allocated)
      return allocated.error();
    *memory = *allocated;
    return {};
  });
}

attncc_status attncc_device_free(attncc_device *device, void *memory) {
  return call(__func__, [&]() -> Result<void> {
    if (Result<void> given = notNull({{"device", device}}); !given)
      return given.error();
    return device->device->free(memory);
  });
}

attncc_status attncc_copy(attncc_device *device, void *to, const void *from, size_t bytes,
                          attncc_stream stream) {
  return call(__func__, [&]() -> Result<void> {
    if (Result<void> given = notNull({{"device", device}}); !given)
      return given.error();
    return device->device->copy(to, from, bytes, stream);
  });
}

attncc_status attncc_package_open(attncc_device *device, const char *folder,
                                  const attncc_load_options *options, attncc_package **package) {
  return call(__func__, [&]() -> Result<void> {
    if (Result<void> given = notNull({{"package", package}}); !given)
      return given.error();
    *package = nullptr;
    if (Result<void> given = notNull({{"device", device}, {"folder", folder}}); !given)
      return given.error();
    package::LoadOptions load;
    if (options) {
      Result<attncc_load_options> read = readStruct("options", options);
      if (!read)
        return read.error();
      if (read->cache_dir)
        return makeError(
            Status::Unsupported,
            "cache_dir is set: the driver's own cache is used, CUDA_CACHE_PATH places it");
      if (read->target)
        load.target = read->target;
      if (read->expected_id)
        load.expectedId = read->expected_id;
      load.threads = read->jit_threads;
      load.forbidJit = read->forbid_jit != 0;
    }
    Result<std::shared_ptr<const package::Package>> opened =
        package::Package::open(device->device, folder, load);
    if (!opened)
      return opened.error();
    log(0, (*opened)->path() + ": " + (*opened)->id().substr(0, 12) + ": " +
               (*opened)->targets().text(device->device->info()) + "; " +
               std::to_string((*opened)->kernels().size()) + " kernels loaded, " +
               std::to_string((*opened)->numCubins()) + " from cubins");
    if (std::string refused = (*opened)->refusedCubins(); !refused.empty())
      log(1, (*opened)->path() + ": " + refused);
    *package = new attncc_package{std::move(*opened)};
    return {};
  });
}

const char *attncc_package_manifest(const attncc_package *package) {
  return package ? package->package->manifestText().c_str() : "";
}

const char *attncc_package_id(const attncc_package *package) {
  return package ? package->package->id().c_str() : "";
}

attncc_status attncc_kv_bind(attncc_package *package, const char *group,
                             const attncc_kv_layer *layers, uint32_t num_layers, attncc_kv **kv) {
  return call(__func__, [&]() -> Result<void> {
    if (Result<void> given = notNull({{"kv", kv}}); !given)
      return given.error();
    *kv = nullptr;
    if (Result<void> given = notNull({{"package", package}, {"layers", layers}}); !given)
      return given.error();
    Result<const package::CacheGroup *> found = plan::findGroup(*package->package, group);
    if (!found)
      return found.error();
    std::vector<attncc_kv_layer> known;
    for (uint32_t i = 0; i < num_layers; ++i) {
      const attncc_kv_layer *layer = elementAt(layers, i);
      if (layer->size != layers->size)
        return invalid("layers[" + std::to_string(i) + "].size is " + std::to_string(layer->size) +
                       ": must be that of layers[0], " + std::to_string(layers->size));
      Result<attncc_kv_layer> read =
          readStruct(("layers[" + std::to_string(i) + "]").c_str(), layer);
      if (!read)
        return read.error();
      known.push_back(*read);
    }
    Result<std::shared_ptr<const plan::KvCache>> bound =
        plan::KvCache::bind(package->package, (*found)->name, known);
    if (!bound)
      return bound.error();
    *kv = new attncc_kv{std::move(*bound)};
    return {};
  });
}

attncc_status attncc_copy_pages(attncc_kv *kv, const attncc_page_copy *copies, uint32_t n,
                                attncc_stream stream) {
  return call(__func__, [&]() -> Result<void> {
    if (Result<void> given = notNull({{"kv", kv}}); !given)
      return given.error();
    if (n == 0)
      return {};
    if (Result<void> given = notNull({{"copies", copies}}); !given)
      return given.error();
    static_assert(sizeof(attncc_page_copy) == sizeof(pool::PageCopy));
    return kv->cache->copyPages({reinterpret_cast<const pool::PageCopy *>(copies), n}, stream);
  });
}

void attncc_device_release(attncc_device *device) { delete device; }
void attncc_package_release(attncc_package *package) { delete package; }
void attncc_kv_release(attncc_kv *kv) { delete kv; }
