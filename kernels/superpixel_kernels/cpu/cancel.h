// Stopping or pausing a running call from another thread.
#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <mutex>
#include <stdexcept>

#include "superpixel/common.h"

namespace superpixel {

struct Cancelled : std::runtime_error {
    Cancelled() : std::runtime_error("cancelled") {}
};

// Other threads use it to stop a call (`cancel`) or to pause it (`hold`). Both take effect at the call's next
// step: each stage and each merge round is one step.
class CancelToken {
  public:
    using Seconds = std::chrono::duration<double>;

    void cancel();
    bool cancelled() const { return cancelled_.load(std::memory_order_relaxed); }

    // Pauses calls: once this has returned, at most one step begins per `patience`, until release().
    void hold(Seconds patience);
    void release();

    // Waits while paused, for at most `patience`; then counts a step. Throws Cancelled if cancelled.
    void begin_step();
    // The same without waiting: returns false, and counts nothing, if paused.
    bool try_begin_step();

    // Steps begun so far.
    i64 steps();
    // Whether a call is paused now.
    bool waiting();
    // How long calls have been paused in all.
    double held_seconds();

  private:
    std::atomic<bool> cancelled_{false};
    std::mutex mutex_;
    std::condition_variable changed_;
    bool held_ = false;
    Seconds patience_{};
    i64 steps_ = 0;
    int waiting_ = 0;
    Seconds held_for_{};
};

}  // namespace superpixel
