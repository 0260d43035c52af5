//===- Products.h - wgmma of a block --------------------------------------===//
//
// Internal to the simulator. PTX ISA §9.7.15. Four warps whose first has a number that is a
// multiple of four are a warpgroup; each issues a product for itself, and it starts when all four
// have. It is computed when a warp waits for it, as late as the ISA allows. Until then
//
//   registers       of its accumulators and its left operand are in flight in the warps that have
//                   issued it and not waited for it: another instruction that names one is a
//                   finding. A further product of the same shape may use the same accumulators.
//   shared memory   under its operands may be read but not written (see SharedShadow.h)
//
// A register that another instruction has named needs a wgmma.fence before the next product uses
// it, and a warp's first product needs one too. All four warps execute the same sequence of wgmma
// and setmaxnreg instructions with the same operands.
//
// Pinned by test/simulator/WgmmaTest.cpp and WgmmaUseTest.cpp.
//
//===----------------------------------------------------------------------===//
#pragma once

#include "runtime/simulator/Program.h"
#include "runtime/simulator/Races.h"
#include "runtime/simulator/SharedMatrix.h"

#include <deque>

namespace attncc::simulator {

class Block;

class Products {
public:
  void start(const Kernel &kernel, uint32_t warps);

  // Each throws Stop for what must not happen.

  /// An instruction other than wgmma names registers of products.
  void use(Warp &warp, const Op &op);
  void fence(Warp &warp);
  void issue(Warp &warp, const Op &op);
  void commit(Warp &warp);
  /// Leaves at most `pending` groups of the warp; false if another warp has to issue first.
  bool wait(Warp &warp, uint32_t pending);
  /// The warp executes an instruction that its warpgroup executes together.
  void together(Warp &warp, const Op &op, std::array<uint64_t, 2> operands = {});
  /// The block ends.
  void finish(Block &block);

  /// "the product of line 12, which warps 2 and 3 have not issued"
  std::string describeWait(Warp &warp, uint32_t pending);

private:
  struct Product {
    const Op *op = nullptr;
    const ProductForm *form = nullptr;
    SharedMatrix a, b;
    bool accumulates = false;
    uint32_t issued = 0;  ///< warps of the four, one bit for each
    Clock clock;          ///< of those when they issued, and of the product
    Races::Moment moment; ///< of its reads
  };
  /// What the four warps execute together, in order.
  struct Together {
    const Op *op = nullptr;
    std::array<uint64_t, 2> operands{};
    uint32_t warps = 0; ///< that have
  };
  struct Warpgroup {
    std::deque<Product> products; ///< that not all warps have waited for
    uint64_t first = 0;           ///< number of products before them
    uint64_t computed = 0;        ///< number of products that are over
    Product &operator[](uint64_t number) { return products[number - first]; }
    std::deque<Together> sequence;
    uint64_t passed = 0; ///< entries before them
  };
  struct Register {
    uint64_t accumulator = 0, operand = 0; ///< number + 1 of the last product that uses it
    const ProductForm *shape = nullptr;    ///< of the former
    const Op *accumulatorOp = nullptr, *operandOp = nullptr;
    uint64_t named = 0; ///< fences + 1 when another instruction named it last
    const Op *namedBy = nullptr;
  };
  struct WarpState {
    uint64_t issued = 0, waited = 0; ///< products
    std::deque<uint64_t> groups;     ///< `issued` at each commit that has not been waited for
    uint64_t fences = 0;
    uint64_t together = 0;
    std::vector<Register> registers;
  };

  void checkRegisters(Warp &warp, const Op &op, const ProductForm &form);
  uint64_t target(const WarpState &state, uint32_t pending) const;
  void compute(Block &block, const Product &product, uint32_t firstWarp);
  void begin(Warp &warp, const Op &op, const SharedMatrix &matrix, unsigned rows, bool kMajor);

  std::vector<Warpgroup> groups;
  std::vector<WarpState> warps;
};

} // namespace attncc::simulator
