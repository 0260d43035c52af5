//===- FakeCuda.h - control of the CUDA driver of the tests ------------------===//
//
// libcuda.so.1 as the tests have it: the functions that runtime/device/CudaDriver.h looks up, over
// one GPU (sm_90, CUDA 13.0) whose memory is the host's. Launches run on the PTX simulator, or do
// nothing. A cubin is what test/runtime/SamplePackage.h makes of one: PTX behind the name of its
// architecture, taken if that is sm_90 or sm_90a. Streams run at once; captured work runs when its
// graph is launched. Calls are counted, and one of them can be made to fail. Everything is
// thread-safe.
//
//===----------------------------------------------------------------------===//
#pragma once

extern "C" {
/// Forgets counts and failures, and undoes fake_cuda_idle.
void fake_cuda_reset(void);
/// The nth call of `function` from now on, counted from 1, gives `status` and does nothing else.
void fake_cuda_fail(const char *function, long nth, int status);
/// Launches do nothing.
void fake_cuda_idle(void);
/// Calls since the reset; with null, of all functions.
long fake_cuda_calls(const char *function);
/// What was made and not yet given back: contexts retained or current, memory, modules, streams,
/// graphs, events.
long fake_cuda_live(void);
}
