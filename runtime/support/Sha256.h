//===- Sha256.h - SHA-256 of files and texts -------------------------------===//
//
// Internal. A package lists the SHA-256 of each of its files (FIPS 180-4). The
// arithmetic is OpenSSL's low-level SHA256_* from the static libcrypto archive
// (35 KB; the EVP interface would be 3.8 MB), whose symbols stay hidden in
// anything that links it. Test: test/support/Sha256Test.cpp.
//
//===----------------------------------------------------------------------===//
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>

namespace attncc {

using Sha256Digest = std::array<uint8_t, 32>;

Sha256Digest sha256(std::string_view bytes);

/// 64 lower-case hexadecimal digits.
std::string sha256Hex(std::string_view bytes);

} // namespace attncc
