//===- SharedMatrix.cpp ---------------------------------------------------===//
//
// See SharedMatrix.h. Pinned by test/simulator/WgmmaTest.cpp.
//
//===----------------------------------------------------------------------===//
#include "runtime/simulator/SharedMatrix.h"

namespace attncc::simulator {

namespace {

std::string hex(uint64_t value) {
  char text[24];
  std::snprintf(text, sizeof text, "0x%llx", static_cast<unsigned long long>(value));
  return text;
}

} // namespace

std::string SharedMatrix::decode(uint64_t descriptor, bool kMajor, SharedMatrix &out) {
  auto field = [&](unsigned first) { return uint32_t(descriptor >> first & 0x3fff) << 4; };
  out.start = field(0);
  out.leading = field(16);
  out.stride = field(32);
  // The numbers of the field are not those of a tensor map.
  static constexpr TensorSwizzle swizzles[] = {TensorSwizzle::None, TensorSwizzle::Bytes128,
                                               TensorSwizzle::Bytes64, TensorSwizzle::Bytes32};
  out.swizzle = swizzles[descriptor >> 62];
  constexpr uint64_t fields = 0xc00e'3fff'3fff'3fff;
  if (descriptor & ~fields)
    return "the descriptor " + hex(descriptor) +
           " has bits outside its fields: " + hex(descriptor & ~fields);
  if (uint64_t offset = descriptor >> 49 & 7)
    return "the descriptor has base offset " + std::to_string(offset) + ", expected 0";
  const uint32_t mask = swizzleMask(out.swizzle);
  if (mask == 0)
    return {};
  const uint32_t width = 16 * (mask + 1);
  if (out.start % (8 * width) >= width)
    return "the matrix starts at " + hex(out.start) + ", inside a pattern of the " +
           std::to_string(width) + "-byte swizzle; patterns begin at multiples of " +
           std::to_string(8 * width);
  if (kMajor && out.start % width + 32 > width)
    return "rows of 32 bytes at " + hex(out.start) + " leave their line of " +
           std::to_string(width) + " bytes";
  return {};
}

} // namespace attncc::simulator
