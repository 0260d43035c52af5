//===- DifferentialTest.cpp - one IR, two back ends -----------------------===//
//
// Random LLVM IR is compiled twice by llc: for this machine, and run natively; for NVPTX, and run
// by the simulator. The bits must be equal. It tests parser, width rules, control flow, scalar
// arithmetic and local memory with an oracle that shares no code with the simulator.
//
// The IR avoids what the two may do differently: NaN payloads (results are made canonical where
// they become integers), approximations, contraction, division by zero, shifts by the width.
//
// ATTNCC_DIFFERENTIAL_SEED and ATTNCC_DIFFERENTIAL_ROUNDS in the environment choose other programs.
//
//===----------------------------------------------------------------------===//
#include "test/simulator/Harness.h"

#include <cstdlib>
#include <dlfcn.h>
#include <fstream>
#include <map>
#include <random>
#include <sstream>
#include <unistd.h>

namespace attncc::simulator::test {
namespace {

constexpr unsigned inBytes = 64, outBytes = 128, lanes = 64, functionsPerModule = 24;

/// Writes one random function, for the host or as a kernel.
class Generator {
public:
  Generator(unsigned seed, bool kernel) : random(seed), space(kernel ? " addrspace(1)" : "") {}

  std::string run(const std::string &name, bool kernel) {
    text << "define " << (kernel ? "ptx_kernel void @" : "void @") << name << "(ptr" << space
         << " %inBase, ptr" << space << " %outBase" << (kernel ? "" : ", i32 %tid")
         << ") {\nentry:\n";
    if (kernel)
      text << "  %tid = call i32 @llvm.nvvm.read.ptx.sreg.tid.x()\n";
    text << "  %tid64 = zext i32 %tid to i64\n  %inOffset = mul i64 %tid64, " << inBytes
         << "\n  %outOffset = mul i64 %tid64, " << outBytes << "\n";
    text << "  %in = getelementptr i8, ptr" << space << " %inBase, i64 %inOffset\n";
    text << "  %out = getelementptr i8, ptr" << space << " %outBase, i64 %outOffset\n";
    const char *inputs[] = {"i64", "i64",  "i32", "i32", "float", "float", "double",
                            "i16", "half", "i8",  "i8",  "half",  "float", "i32"};
    unsigned offset = 0;
    for (const char *type : inputs) {
      unsigned bytes = bitsOf(type) / 8;
      offset = (offset + bytes - 1) / bytes * bytes;
      std::string at = fresh();
      text << "  " << at << " = getelementptr i8, ptr" << space << " %in, i64 " << offset << "\n";
      define(type, "load " + std::string(type) + ", ptr" + space + " " + at + ", align " +
                       std::to_string(bytes));
      offset += bytes;
    }
    statements(30);
    switch (pick(4)) {
    case 0:
      diamond();
      break;
    case 1:
      loop();
      break;
    case 2:
      choose();
      break;
    default:
      table();
    }
    statements(20);
    store();
    text << "  ret void\n}\n\n";
    return text.str();
  }

private:
  static unsigned bitsOf(const std::string &type) {
    if (type == "float")
      return 32;
    if (type == "double")
      return 64;
    if (type == "half")
      return 16;
    return unsigned(std::stoul(type.substr(1)));
  }
  unsigned pick(unsigned count) { return random() % count; }
  std::string fresh() { return "%v" + std::to_string(next++); }
  std::string define(const std::string &type, const std::string &what) {
    std::string name = fresh();
    text << "  " << name << " = " << what << "\n";
    values[type].push_back(name);
    return name;
  }
  /// A value of the type: mostly a recent one, sometimes a constant.
  std::string use(const std::string &type) {
    auto &known = values[type];
    if (type[0] == 'i' && type != "i1" && pick(8) == 0) {
      const char *constants[] = {"0", "1", "-1", "2", "7", "31", "127", "-128"};
      return constants[pick(8)];
    }
    if (type == "i1" && known.empty())
      return pick(2) ? "true" : "false";
    unsigned recent = unsigned(std::min<size_t>(known.size(), 8));
    return known[known.size() - 1 - pick(pick(3) ? recent : unsigned(known.size()))];
  }
  std::string integer() {
    const char *types[] = {"i8", "i16", "i32", "i32", "i64"};
    return types[pick(5)];
  }
  std::string floating() {
    const char *types[] = {"float", "float", "double", "half"};
    return types[pick(4)];
  }
  static std::string suffix(const std::string &type) {
    return type == "float" ? "f32" : type == "double" ? "f64" : type == "half" ? "f16" : type;
  }
  std::string call(const std::string &result, const std::string &name,
                   const std::vector<std::string> &types,
                   const std::vector<std::string> &extra = {}) {
    std::string arguments;
    for (const std::string &type : types)
      arguments += (arguments.empty() ? "" : ", ") + type + " " + use(type);
    for (const std::string &argument : extra)
      arguments += ", " + argument;
    return define(result, "call " + result + " @llvm." + name + "(" + arguments + ")");
  }

  void statements(unsigned count) {
    for (unsigned i = 0; i < count; ++i)
      pick(5) < 3 ? integerStatement() : floatStatement();
  }

  void integerStatement() {
    std::string type = integer(), bits = std::to_string(bitsOf(type));
    switch (pick(16)) {
    case 0:
    case 1:
    case 2: {
      const char *names[] = {"add", "sub", "mul", "and", "or", "xor"};
      define(type, std::string(names[pick(6)]) + " " + type + " " + use(type) + ", " + use(type));
      return;
    }
    case 3: {
      std::string amount =
          define(type, "and " + type + " " + use(type) + ", " + std::to_string(bitsOf(type) - 1));
      const char *names[] = {"shl", "lshr", "ashr"};
      define(type, std::string(names[pick(3)]) + " " + type + " " + use(type) + ", " + amount);
      return;
    }
    case 4: {
      // A positive odd divisor: neither zero nor an overflow.
      std::string half = define(type, "lshr " + type + " " + use(type) + ", 1");
      std::string divisor = define(type, "or " + type + " " + half + ", 1");
      const char *names[] = {"udiv", "urem", "sdiv", "srem"};
      define(type, std::string(names[pick(4)]) + " " + type + " " + use(type) + ", " + divisor);
      return;
    }
    case 5: {
      const char *names[] = {"eq", "ne", "ult", "ule", "ugt", "uge", "slt", "sle", "sgt", "sge"};
      define("i1", std::string("icmp ") + names[pick(10)] + " " + type + " " + use(type) + ", " +
                       use(type));
      return;
    }
    case 6:
      define(type, "select i1 " + use("i1") + ", " + type + " " + use(type) + ", " + type + " " +
                       use(type));
      return;
    case 7:
    case 8: {
      std::string to = integer();
      if (bitsOf(to) == bitsOf(type))
        return;
      const char *name = bitsOf(to) < bitsOf(type) ? "trunc" : pick(2) ? "zext" : "sext";
      define(to, std::string(name) + " " + type + " " + use(type) + " to " + to);
      return;
    }
    case 9:
      call(type, (pick(2) ? "fshl." : "fshr.") + type, {type, type, type});
      return;
    case 10: {
      const char *names[] = {"ctpop.", "bitreverse."};
      call(type, names[pick(2)] + type, {type});
      return;
    }
    case 11:
      call(type, (pick(2) ? "ctlz." : "cttz.") + type, {type}, {"i1 false"});
      return;
    case 12: {
      const char *names[] = {"umin.",     "umax.",     "smin.",    "smax.",
                             "uadd.sat.", "sadd.sat.", "usub.sat."};
      call(type, names[pick(7)] + type, {type, type});
      return;
    }
    case 13:
      call(type, "abs." + type, {type}, {"i1 false"});
      return;
    case 14: { // the high half of a product, signed or not
      const char *extend = pick(2) ? "zext" : "sext";
      std::string wide = "i" + std::to_string(2 * bitsOf(type));
      std::string a = fresh(), b = fresh(), c = fresh(), d = fresh();
      text << "  " << a << " = " << extend << " " << type << " " << use(type) << " to " << wide
           << "\n";
      text << "  " << b << " = " << extend << " " << type << " " << use(type) << " to " << wide
           << "\n";
      text << "  " << c << " = mul " << wide << " " << a << ", " << b << "\n";
      text << "  " << d << " = lshr " << wide << " " << c << ", " << bits << "\n";
      define(type, "trunc " + wide + " " + d + " to " + type);
      return;
    }
    default: { // i128 addition: carries
      std::string a = fresh(), b = fresh(), c = fresh(), d = fresh();
      text << "  " << a << " = sext i64 " << use("i64") << " to i128\n";
      text << "  " << b << " = zext i64 " << use("i64") << " to i128\n";
      text << "  " << c << " = " << (pick(2) ? "add" : "sub") << " i128 " << a << ", " << b << "\n";
      text << "  " << d << " = ashr i128 " << c << ", 40\n";
      define("i64", "trunc i128 " + d + " to i64");
    }
    }
  }

  /// A float as an integer of its width, NaN made one code.
  std::string bitsOfFloat(const std::string &type, const std::string &value) {
    std::string integerType = "i" + std::to_string(bitsOf(type));
    std::string isNan = fresh(), code = fresh();
    text << "  " << isNan << " = fcmp uno " << type << " " << value << ", " << value << "\n";
    text << "  " << code << " = bitcast " << type << " " << value << " to " << integerType << "\n";
    return define(integerType, "select i1 " + isNan + ", " + integerType + " 12345, " +
                                   integerType + " " + code);
  }

  void floatStatement() {
    std::string type = floating(), of = suffix(type);
    switch (pick(12)) {
    case 0:
    case 1:
    case 2: {
      const char *names[] = {"fadd", "fsub", "fmul", "fdiv"};
      define(type, std::string(names[pick(4)]) + " " + type + " " + use(type) + ", " + use(type));
      return;
    }
    case 3:
      if (type != "half") // a half is widened on the host, which rounds twice
        call(type, "fma." + of, {type, type, type});
      return;
    case 4: {
      const char *names[] = {"minimum.", "maximum."};
      call(type, names[pick(2)] + of, {type, type});
      return;
    }
    case 5: {
      const char *names[] = {"floor.", "ceil.", "trunc.", "rint.", "fabs."};
      call(type, names[pick(5)] + of, {type});
      return;
    }
    case 6: {
      const char *names[] = {"oeq", "ogt", "oge", "olt", "ole", "one", "ord",
                             "ueq", "ugt", "uge", "ult", "ule", "une", "uno"};
      define("i1", std::string("fcmp ") + names[pick(14)] + " " + type + " " + use(type) + ", " +
                       use(type));
      return;
    }
    case 7:
      define(type, "select i1 " + use("i1") + ", " + type + " " + use(type) + ", " + type + " " +
                       use(type));
      return;
    case 8: {
      std::string to = pick(2) ? "i32" : "i64";
      call(to, (pick(2) ? "fptosi.sat." : "fptoui.sat.") + to + "." + of, {type});
      return;
    }
    case 9: {
      std::string from = pick(2) ? "i32" : "i64";
      if (type != "half")
        define(type, std::string(pick(2) ? "sitofp " : "uitofp ") + from + " " + use(from) +
                         " to " + type);
      return;
    }
    case 10: {
      std::string to = floating();
      if (bitsOf(to) == bitsOf(type))
        return;
      define(to, std::string(bitsOf(to) < bitsOf(type) ? "fptrunc " : "fpext ") + type + " " +
                     use(type) + " to " + to);
      return;
    }
    default:
      if (pick(2))
        bitsOfFloat(type, use(type));
      else if (pick(2))
        define(type, "fneg " + type + " " + use(type));
      else if (type != "half")
        call(type, "sqrt." + of, {type});
    }
  }

  //===--- control flow ---------------------------------------------------===//

  std::string label() { return "b" + std::to_string(next++); }

  /// Values that a block defines do not outlive it; a phi takes one out.
  template <class F> std::string scoped(const std::string &type, F statements) {
    auto outer = values;
    statements();
    std::string result = use(type);
    values = outer;
    return result;
  }

  void diamond() {
    std::string type = integer(), left = label(), right = label(), join = label();
    text << "  br i1 " << use("i1") << ", label %" << left << ", label %" << right << "\n";
    text << left << ":\n";
    std::string a = scoped(type, [&] { statements(8); });
    text << "  br label %" << join << "\n" << right << ":\n";
    std::string b = scoped(type, [&] { statements(8); });
    text << "  br label %" << join << "\n" << join << ":\n";
    define(type, "phi " + type + " [ " + a + ", %" + left + " ], [ " + b + ", %" + right + " ]");
  }

  void loop() {
    // Up to 15 rounds, as many as the lane's data say.
    std::string count = define("i32", "and i32 " + use("i32") + ", 15");
    std::string type = integer(), before = label(), head = label(), body = label(), done = label();
    std::string first = use(type), index = fresh(), carried = fresh(), more = fresh(),
                nextIndex = fresh();
    text << "  br label %" << before << "\n"
         << before << ":\n  br label %" << head << "\n"
         << head << ":\n";
    std::streampos place = text.tellp();
    std::string before_ = text.str();
    auto outer = values;
    std::ostringstream inner;
    std::swap(inner, text);
    values["i32"].push_back(index);
    values[type].push_back(carried);
    statements(8);
    std::string last = use(type);
    std::swap(inner, text);
    values = outer;
    (void)place;
    text << "  " << index << " = phi i32 [ 0, %" << before << " ], [ " << nextIndex << ", %" << body
         << " ]\n";
    text << "  " << carried << " = phi " << type << " [ " << first << ", %" << before << " ], [ "
         << last << ", %" << body << " ]\n";
    text << "  " << more << " = icmp ult i32 " << index << ", " << count << "\n";
    text << "  br i1 " << more << ", label %" << body << ", label %" << done << "\n"
         << body << ":\n";
    text << inner.str();
    text << "  " << nextIndex << " = add i32 " << index << ", 1\n  br label %" << head << "\n"
         << done << ":\n";
    values[type].push_back(carried);
  }

  void choose() {
    std::string on = define("i32", "and i32 " + use("i32") + ", 7");
    std::string type = integer(), join = label(), phi;
    std::vector<std::string> labels;
    for (int i = 0; i < 6; ++i)
      labels.push_back(label());
    text << "  switch i32 " << on << ", label %" << labels[5] << " [";
    for (int i = 0; i < 5; ++i)
      text << " i32 " << i << ", label %" << labels[i];
    text << " ]\n";
    for (const std::string &name : labels) {
      text << name << ":\n";
      std::string value = scoped(type, [&] { statements(4); });
      text << "  br label %" << join << "\n";
      phi += (phi.empty() ? "" : ", ") + ("[ " + value + ", %" + name + " ]");
    }
    text << join << ":\n";
    define(type, "phi " + type + " " + phi);
  }

  /// An array in local memory, written and read at indices that differ between lanes.
  void table() {
    std::string array = fresh();
    text << "  " << array << " = alloca [8 x i32], align 16\n";
    for (int i = 0; i < 8; ++i) {
      std::string at = fresh();
      text << "  " << at << " = getelementptr i32, ptr " << array << ", i32 " << i << "\n";
      text << "  store i32 " << use("i32") << ", ptr " << at << ", align 4\n";
    }
    for (int i = 0; i < 4; ++i) {
      std::string index = define("i32", "and i32 " + use("i32") + ", 7"), at = fresh();
      text << "  " << at << " = getelementptr i32, ptr " << array << ", i32 " << index << "\n";
      if (i % 2)
        text << "  store i32 " << use("i32") << ", ptr " << at << ", align 4\n";
      define("i32", "load i32, ptr " + at + ", align 4");
    }
  }

  void store() {
    unsigned offset = 0;
    for (const char *type :
         {"i64",   "i64",   "i64", "double", "double", "i32",  "i32", "i32", "i32", "float",
          "float", "float", "i16", "i16",    "half",   "half", "i8",  "i8",  "i8",  "i8"}) {
      std::string name = type, value = use(name);
      if (name[0] != 'i') {
        value = bitsOfFloat(name, value);
        name = "i" + std::to_string(bitsOf(name));
      }
      std::string at = fresh();
      text << "  " << at << " = getelementptr i8, ptr" << space << " %out, i64 " << offset << "\n";
      text << "  store " << name << " " << value << ", ptr" << space << " " << at << ", align "
           << bitsOf(name) / 8 << "\n";
      offset += bitsOf(name) / 8;
    }
  }

  std::mt19937 random;
  std::string space;
  std::ostringstream text;
  std::map<std::string, std::vector<std::string>> values;
  unsigned next = 0;
};

std::string moduleFor(unsigned seed, bool kernel) {
  std::string text;
  for (unsigned i = 0; i < functionsPerModule; ++i)
    text += Generator(seed * functionsPerModule + i, kernel).run("f" + std::to_string(i), kernel);
  return text;
}

unsigned environment(const char *name, unsigned otherwise) {
  const char *value = std::getenv(name);
  return value ? unsigned(std::strtoul(value, nullptr, 0)) : otherwise;
}

std::string readFile(const std::string &path) {
  std::ifstream file(path);
  std::stringstream text;
  text << file.rdbuf();
  return text.str();
}

/// Random bits, with values among them where mistakes live.
void fillInputs(std::byte *in, unsigned seed) {
  std::mt19937 random(seed);
  const uint64_t special[] = {0,
                              1,
                              ~uint64_t(0),
                              uint64_t(1) << 63,
                              0x7fffffffffffffff,
                              0x3ff0000000000000,
                              0x7ff0000000000000,
                              0x3f8000003f800000,
                              0x7f8000007fc00000,
                              0x0000000180000000,
                              0x3c003c007c00fc00,
                              0x41dfffffffc00000,
                              0x4f0000005f000000};
  for (unsigned i = 0; i < lanes * inBytes / 8; ++i) {
    uint64_t value = uint64_t(random()) << 32 | random();
    switch (random() % 4) {
    case 0:
      value = special[random() % std::size(special)];
      break;
    case 1: // floats of ordinary size
      value = (value & 0x807fffff807fffff) | uint64_t(120 + random() % 16) << 55 |
              uint64_t(120 + random() % 16) << 23;
    }
    std::memcpy(in + 8 * i, &value, 8);
  }
}

TEST(Differential, TwoBackEnds) {
  const unsigned first = environment("ATTNCC_DIFFERENTIAL_SEED", 1);
  const unsigned rounds = environment("ATTNCC_DIFFERENTIAL_ROUNDS", 6);
  std::string folder = ::testing::TempDir() + "attncc-differential-" + std::to_string(getpid());
  ASSERT_EQ(std::system(("mkdir -p " + folder).c_str()), 0);
  for (unsigned seed = first; seed < first + rounds; ++seed) {
    SCOPED_TRACE("ATTNCC_DIFFERENTIAL_SEED=" + std::to_string(seed));
    std::string base = folder + "/" + std::to_string(seed);
    std::ofstream(base + ".host.ll") << moduleFor(seed, false);
    std::ofstream(base + ".ptx.ll") << moduleFor(seed, true);
    std::string level = " -O" + std::to_string(seed % 4);
    std::string commands = ATTNCC_LLC + level + " -relocation-model=pic -filetype=obj " + base +
                           ".host.ll -o " + base + ".o && " + ATTNCC_CC + " -shared " + base +
                           ".o -o " + base + ".so -lm && " + ATTNCC_LLC + level +
                           " -fp-contract=off -nvptx-fma-level=0 -mtriple=nvptx64-nvidia-cuda "
                           "-mcpu=sm_80 -mattr=+ptx87 " +
                           base + ".ptx.ll -o " + base + ".ptx";
    ASSERT_EQ(std::system(commands.c_str()), 0) << commands;
    void *library = dlopen((base + ".so").c_str(), RTLD_NOW);
    ASSERT_NE(library, nullptr) << dlerror();
    auto parsed = parseModule(readFile(base + ".ptx"), base + ".ptx");
    ASSERT_TRUE(bool(parsed)) << parsed.error().diagnostic.text();

    std::vector<std::byte> in(lanes * inBytes), host(lanes * outBytes), device(lanes * outBytes);
    fillInputs(in.data(), seed);
    MemoryMap memory;
    ASSERT_TRUE(bool(memory.add(in.data(), in.size(), "in", false)));
    ASSERT_TRUE(bool(memory.add(device.data(), device.size(), "out")));
    uint64_t parameters[2] = {reinterpret_cast<uint64_t>(in.data()),
                              reinterpret_cast<uint64_t>(device.data())};
    for (unsigned i = 0; i < functionsPerModule; ++i) {
      std::string name = "f" + std::to_string(i);
      auto function =
          reinterpret_cast<void (*)(const void *, void *, int)>(dlsym(library, name.c_str()));
      ASSERT_NE(function, nullptr);
      std::fill(host.begin(), host.end(), std::byte(0));
      std::fill(device.begin(), device.end(), std::byte(0));
      for (unsigned lane = 0; lane < lanes; ++lane)
        function(in.data(), host.data(), int(lane));
      Launch launch{{1, 1, 1}, {lanes, 1, 1}, 0, std::as_bytes(std::span(parameters))};
      auto report = run(**parsed, name, launch, memory);
      ASSERT_TRUE(bool(report)) << report.error().diagnostic.message;
      ASSERT_TRUE(report->completed) << report->text() << base << ".ptx";
      for (unsigned at = 0; at < lanes * outBytes; ++at)
        ASSERT_EQ(int(device[at]), int(host[at]))
            << base << ".ptx, " << name << ", lane " << at / outBytes << ", byte " << at % outBytes;
    }
    dlclose(library);
  }
  if (!HasFailure()) // else its files are worth a look
    EXPECT_EQ(std::system(("rm -r " + folder).c_str()), 0);
}

} // namespace
} // namespace attncc::simulator::test
