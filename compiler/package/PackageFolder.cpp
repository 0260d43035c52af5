//===- PackageFolder.cpp - a package on disk --------------------------------===//
//
// The files go to <folder>.<pid>.new; then the new folder and the old one change
// places in one renameat2 (two renames where the file system lacks it), so a reader sees the old
// package or the new one and never a mixture. What was there is deleted last.
//
//===----------------------------------------------------------------------===//
#include "compiler/package/PackageBuilder.h"

#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <filesystem>
#include <fstream>
#include <stdio.h>
#include <unistd.h>

namespace fs = std::filesystem;

namespace attncc {
namespace {

Error folderError(const std::string &folder, std::string message) {
  Error error = makeError(Status::InvalidArgument, std::move(message));
  error.diagnostic.where.file = folder;
  error.diagnostic.code = "output-folder";
  return error;
}

/// Whether `folder` may be replaced: it is empty, or it holds a manifest of ours.
Result<bool> holdsPackage(const fs::path &folder) {
  std::error_code code;
  if (!fs::exists(folder, code))
    return false;
  if (!fs::is_directory(folder, code))
    return folderError(folder.string(), "is not a folder; choose another -o");
  if (fs::is_empty(folder, code) || fs::exists(folder / "manifest.json", code))
    return true;
  return folderError(
      folder.string(),
      "is neither empty nor a kernel package, so it is not replaced; choose another -o");
}

Result<void> writeFile(const fs::path &path, const std::string &text) {
  std::error_code code;
  fs::create_directories(path.parent_path(), code);
  if (code)
    return folderError(path.string(), code.message());
  std::ofstream stream(path, std::ios::binary);
  stream.write(text.data(), static_cast<std::streamsize>(text.size()));
  stream.close();
  if (!stream)
    return folderError(path.string(), path.filename().string() + ": " + std::strerror(errno));
  return {};
}

/// Gives the folder `fresh` the name `target`; where there was one, it is called `fresh`
/// afterwards.
bool takePlace(const fs::path &fresh, const fs::path &target, bool exists) {
  if (renameat2(AT_FDCWD, fresh.c_str(), AT_FDCWD, target.c_str(),
                exists ? RENAME_EXCHANGE : RENAME_NOREPLACE) == 0)
    return true;
  if (errno != EINVAL && errno != ENOSYS)
    return false;
  // A file system without these flags: the old folder steps aside first.
  fs::path aside = fresh;
  aside += ".old";
  if (exists && rename(target.c_str(), aside.c_str()) != 0)
    return false;
  if (rename(fresh.c_str(), target.c_str()) != 0)
    return false;
  return !exists || rename(aside.c_str(), fresh.c_str()) == 0;
}

} // namespace

Result<void> writePackage(const PackageFiles &package, const std::string &folder) {
  fs::path target = fs::path(folder).lexically_normal();
  if (!target.has_filename())
    target = target.parent_path();
  Result<bool> exists = holdsPackage(target);
  if (!exists)
    return exists.error();
  fs::path fresh = target;
  fresh += "." + std::to_string(getpid()) + ".new";
  std::error_code code;
  Result<void> written;
  for (const auto &[name, text] : package.files)
    if (written = writeFile(fresh / name, text); !written) {
      written =
          folderError(folder, "cannot write the package: " + written.error().diagnostic.message);
      break;
    }
  if (written && !takePlace(fresh, target, *exists))
    written =
        folderError(target.string(), std::string("cannot rename the new package to this name: ") +
                                         std::strerror(errno));
  if (!written || *exists)
    fs::remove_all(fresh, code);
  return written;
}

} // namespace attncc
