//===- LinalgChain.h - attention in linalg becomes the attn chain ----------===//
//
// Internal to --attn-fuse-attention. See LinalgChain.cpp.
//
//===----------------------------------------------------------------------===//
#pragma once

namespace mlir {
class Operation;
} // namespace mlir

namespace attncc::attn {

/// Rewrites every attention in linalg on tensors below `root` as the ops of the unfused attn chain.
/// A chain that nearly matches stays and gets a remark on the op in the way.
void raiseLinalgChains(mlir::Operation *root);

} // namespace attncc::attn
