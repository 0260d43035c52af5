//===- TileDialect.cpp - the tile dialect -----------------------------------===//
//
// Registration, and short names for layouts in printed IR. Tests:
// test/dialects/tile.
//
//===----------------------------------------------------------------------===//

#include "dialects/tile/Tile.h"

#include "dialects/tile/TileDialect.cpp.inc"
#include "dialects/tile/TileEnums.cpp.inc"

namespace attncc::tile {
namespace {

/// Layouts are long: they are printed as aliases at the top of the module.
struct LayoutAliases : public mlir::OpAsmDialectInterface {
  using OpAsmDialectInterface::OpAsmDialectInterface;

  AliasResult getAlias(mlir::Attribute attribute, llvm::raw_ostream &os) const override {
    if (!llvm::isa<LayoutAttr>(attribute))
      return AliasResult::NoAlias;
    os << "layout";
    return AliasResult::FinalAlias;
  }
};

} // namespace

void TileDialect::initialize() {
  registerAttributes();
  registerTypes();
  registerOps();
  addInterfaces<LayoutAliases>();
}

} // namespace attncc::tile
