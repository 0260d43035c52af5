//===- Lanes.h - handlers from functions of one lane ----------------------===//
//
// Internal to the simulator. Elementwise<f> turns a pure function of one lane's values
// into a handler that computes all 32 lanes, active or not, and keeps the results of the
// active ones. The loop has no branches, so the host compiler vectorises it.
//
//===----------------------------------------------------------------------===//
#pragma once

#include "runtime/simulator/Machine.h"

#include <bit>
#include <cstring>
#include <tuple>
#include <type_traits>

namespace attncc::simulator {

inline constexpr uint32_t allLanes = ~uint32_t(0);

/// Calls f(lane) for each lane of the mask, in ascending order.
template <class F> inline void forEachLane(uint32_t mask, F f) {
  for (; mask; mask &= mask - 1)
    f(std::countr_zero(mask));
}

template <class T> inline void keepActive(T *destination, const T *values, uint32_t mask) {
  if (mask == allLanes) {
    std::memcpy(destination, values, 32 * sizeof(T));
    return;
  }
  forEachLane(mask, [&](int lane) { destination[lane] = values[lane]; });
}

template <class D, auto Function, class... S> struct ElementwiseOf {
  static void run(Warp &warp, const Op &op, uint32_t mask) {
    alignas(64) D values[32];
    compute(values, op, warp, std::index_sequence_for<S...>{});
    keepActive(warp.values<D>(op.slot[0]), values, mask);
  }

private:
  template <size_t... I>
  static void compute(D *__restrict values, const Op &op, Warp &warp, std::index_sequence<I...>) {
    auto sources = std::tuple<const S *...>(warp.values<S>(op.slot[I + 1])...);
    for (int lane = 0; lane < 32; ++lane)
      values[lane] = Function(std::get<I>(sources)[lane]...);
  }
};

template <class F> struct Signature;
template <class D, class... S> struct Signature<D (*)(S...)> {
  template <auto Function> using Handler = ElementwiseOf<D, Function, S...>;
};
template <auto Function>
using Elementwise = typename Signature<decltype(Function)>::template Handler<Function>;

/// Handler of a comparison: a function to bool, into a predicate.
template <class F> struct PredicateSignature;
template <class... S> struct PredicateSignature<bool (*)(S...)> {
  template <auto Function, size_t... I>
  static uint32_t bits(Warp &warp, const Op &op, unsigned first, std::index_sequence<I...>) {
    auto sources = std::tuple<const S *...>(warp.values<S>(op.slot[first + I])...);
    uint32_t result = 0;
    for (int lane = 0; lane < 32; ++lane)
      result |= uint32_t(Function(std::get<I>(sources)[lane]...)) << lane;
    return result;
  }
  using Indices = std::index_sequence_for<S...>;
};
/// Bits of a comparison of all lanes; its sources begin at slot `first`.
template <auto Function> inline uint32_t compareLanes(Warp &warp, const Op &op, unsigned first) {
  using P = PredicateSignature<decltype(Function)>;
  return P::template bits<Function>(warp, op, first, typename P::Indices{});
}

} // namespace attncc::simulator
