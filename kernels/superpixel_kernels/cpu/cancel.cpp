#include "cancel.h"

namespace superpixel {

void CancelToken::cancel() {
    {
        // Under the lock, so that a call that is about to wait sees it.
        const std::lock_guard lock(mutex_);
        cancelled_ = true;
    }
    changed_.notify_all();
}

void CancelToken::hold(Seconds patience) {
    const std::lock_guard lock(mutex_);
    held_ = true;
    patience_ = patience;
}

void CancelToken::release() {
    {
        const std::lock_guard lock(mutex_);
        held_ = false;
    }
    changed_.notify_all();
}

void CancelToken::begin_step() {
    std::unique_lock lock(mutex_);
    if (held_ && !cancelled()) {
        const auto start = std::chrono::steady_clock::now();
        ++waiting_;
        changed_.wait_until(lock, start + std::chrono::duration_cast<std::chrono::nanoseconds>(patience_),
                            [&] { return !held_ || cancelled(); });
        --waiting_;
        held_for_ += std::chrono::steady_clock::now() - start;
    }
    if (cancelled()) throw Cancelled();
    ++steps_;
}

bool CancelToken::try_begin_step() {
    const std::lock_guard lock(mutex_);
    if (cancelled()) throw Cancelled();
    if (held_) return false;
    ++steps_;
    return true;
}

i64 CancelToken::steps() {
    const std::lock_guard lock(mutex_);
    return steps_;
}

bool CancelToken::waiting() {
    const std::lock_guard lock(mutex_);
    return waiting_ > 0;
}

double CancelToken::held_seconds() {
    const std::lock_guard lock(mutex_);
    return held_for_.count();
}

}  // namespace superpixel
