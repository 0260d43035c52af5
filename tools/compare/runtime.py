"""attncc's runtime over its C interface, attncc.h, by ctypes: one attention call on memory that is the caller's."""
import ctypes
from ctypes import Structure, byref, c_char_p, c_int32, c_int64, c_size_t, c_uint8, c_uint16, c_uint32, c_void_p

POLICIES = {"invariant": 0, "throughput": 1}
DEVICE_ERROR = 4


class AttnccError(Exception):
    """A call that failed: its status and the text of attncc_message."""

    def __init__(self, name, status, message):
        super().__init__(message or f"{name}: status {status}")
        self.status = status


def _sized(name, *fields):
    return type(name, (Structure,), {"_fields_": [("size", c_uint32), *fields]})


def _each(kind, names):
    return [(name, kind) for name in names.split()]


class Tensor(Structure):
    _fields_ = [("data", c_void_p), ("shape", c_int64 * 4), ("stride", c_int64 * 4), ("rank", c_int32),
                ("code", c_uint8), ("bits", c_uint8), ("lanes", c_uint16)]


LoadOptions = _sized("attncc_load_options", *_each(c_char_p, "target cache_dir expected_id"),
                     *_each(c_uint32, "jit_threads forbid_jit"))
KvLayer = _sized("attncc_kv_layer", ("kv_heads", c_uint32), *_each(c_void_p, "k v"),
                 *_each(c_int64, "num_pages k_page_stride k_token_stride k_head_stride v_page_stride v_token_stride "
                        "v_head_stride"), *_each(c_void_p, "k_scale v_scale"))
Limits = _sized("attncc_limits", *_each(c_uint32, "max_sequences max_tokens max_query_length max_kv_length policy "
                                        "query_heads kv_heads tables_are_ready"))
Batch = _sized("attncc_batch", *_each(c_uint32, "num_sequences num_tokens max_query_length max_kv_length"),
               *_each(c_void_p, "query_start kv_length block_table"), ("block_table_stride", c_int64),
               *_each(c_void_p, "page_indptr slot_mapping"))
AttendArgs = _sized("attncc_attend_args", *_each(Tensor, "query output lse"))


def make(kind, **fields):
    return kind(size=ctypes.sizeof(kind), **fields)


class Runtime:
    """The library and one device. Handles are released in any order; children keep their parents alive."""

    def __init__(self, library, device):
        self.library = ctypes.CDLL(str(library))
        self.library.attncc_message.restype = self.library.attncc_package_id.restype = c_char_p
        self.library.attncc_package_id.argtypes = [c_void_p]
        for kind in ("device", "package", "kv", "plan"):
            getattr(self.library, f"attncc_{kind}_release").argtypes = [c_void_p]
        version = self.library.attncc_version()
        self.version = f"{version >> 16}.{version & 0xFFFF}"
        self.device = self.create("device_open", device.encode())

    def call(self, name, *arguments):
        status = getattr(self.library, f"attncc_{name}")(*arguments)
        if status:
            raise AttnccError(f"attncc_{name}", status, self.library.attncc_message().decode())

    def create(self, name, *arguments):
        handle = c_void_p()
        self.call(name, *arguments, byref(handle))
        return handle

    def release(self, kind, handle):
        getattr(self.library, f"attncc_{kind}_release")(handle)

    def open_package(self, folder, target):
        options = make(LoadOptions, target=target.encode())
        return self.create("package_open", self.device, str(folder).encode(), byref(options))

    def package_id(self, package):
        return self.library.attncc_package_id(package).decode()


class Attention:
    """One shape's attend over caches of [pages, page_size, kv_heads, head_dim], bound one by one.

    query_start, kv_length, block_table: addresses of i32 on the device, as attncc_batch has them; they hold their
    numbers before the first attend and stay as they are. Plan and caches live until close().
    """

    def __init__(self, runtime, package, choice, shape, policy, query_start, kv_length, block_table,
                 block_table_stride):
        self.runtime, self.package, self.choice, self.shape, self.caches = runtime, package, choice, shape, []
        tokens = shape.batch * shape.query_tokens
        limits = make(Limits, max_sequences=shape.batch, max_tokens=tokens, max_query_length=shape.query_tokens,
                      max_kv_length=shape.longest, policy=POLICIES[policy], query_heads=shape.query_heads,
                      kv_heads=shape.kv_heads, tables_are_ready=1)
        self.plan = runtime.create("plan_create", package, choice.cache_group.encode(), byref(limits))
        self.batch = make(Batch, num_sequences=shape.batch, num_tokens=tokens, max_query_length=shape.query_tokens,
                          max_kv_length=shape.longest, query_start=query_start, kv_length=kv_length,
                          block_table=block_table, block_table_stride=block_table_stride)

    def workspace_bytes(self):
        """Bytes that set_workspace needs, at an address that is a multiple of 256."""
        size, alignment = c_size_t(), c_size_t()
        self.runtime.call("plan_workspace", self.plan, byref(size), byref(alignment))
        return size.value

    def set_workspace(self, address, size, stream):
        self.runtime.call("plan_set_workspace", self.plan, c_void_p(address), c_size_t(size), c_void_p(stream))
        self.runtime.call("plan_update", self.plan, byref(self.batch), c_void_p(stream))

    def bind(self, key, value, num_pages):
        """Binds a contiguous cache by its addresses; its number for attend is that of the bind, from 0."""
        head, token = self.shape.head_dim, self.shape.kv_heads * self.shape.head_dim
        page = token * self.shape.page_size
        layer = make(KvLayer, kv_heads=self.shape.kv_heads, k=key, v=value, num_pages=num_pages,
                     k_page_stride=page, k_token_stride=token, k_head_stride=head,
                     v_page_stride=page, v_token_stride=token, v_head_stride=head)
        layers = (KvLayer * self.choice.layers)(*[layer] * self.choice.layers)
        self.caches.append(self.runtime.create("kv_bind", self.package, self.choice.cache_group.encode(), layers,
                                               self.choice.layers))

    def tensor(self, address):
        """[tokens, query_heads, head_dim], contiguous."""
        shape = self.shape
        code = {"bf16": 4, "f16": 2}[shape.dtype]
        return Tensor(address, (c_int64 * 4)(shape.batch * shape.query_tokens, shape.query_heads, shape.head_dim),
                      (c_int64 * 4)(shape.query_heads * shape.head_dim, shape.head_dim, 1), 3, code, 16, 1)

    def attend(self, cache, query, output, stream):
        args = make(AttendArgs, query=self.tensor(query), output=self.tensor(output))
        self.runtime.call("attend", self.plan, self.caches[cache], self.choice.layer, byref(args), c_void_p(stream))

    def check(self, stream):
        """Waits for the stream; raises if a launch met a length or a page out of bounds."""
        self.runtime.call("plan_check", self.plan, c_void_p(stream))

    def close(self):
        for cache in self.caches:
            self.runtime.release("kv", cache)
        self.runtime.release("plan", self.plan)
        self.caches, self.plan = [], None
