//===- Sha256.cpp - SHA-256 by OpenSSL's low-level functions ---------------===//
// See Sha256.h. The SHA256_* functions are marked deprecated in OpenSSL 3 in favour of EVP, which
// would pull all of its provider machinery into the runtime.
#define OPENSSL_SUPPRESS_DEPRECATED
#include "runtime/support/Sha256.h"

#include <openssl/sha.h>

using namespace attncc;

Sha256Digest attncc::sha256(std::string_view bytes) {
  Sha256Digest digest;
  SHA256_CTX context;
  SHA256_Init(&context);
  SHA256_Update(&context, bytes.data(), bytes.size());
  SHA256_Final(digest.data(), &context);
  return digest;
}

std::string attncc::sha256Hex(std::string_view bytes) {
  static const char digits[] = "0123456789abcdef";
  std::string hex;
  for (uint8_t byte : sha256(bytes)) {
    hex += digits[byte >> 4];
    hex += digits[byte & 15];
  }
  return hex;
}
