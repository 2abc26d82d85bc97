#include "thread_pool.h"

#include <sched.h>

#include <algorithm>

namespace superpixel {
namespace {

int usable_cores() {
    cpu_set_t cores;
    CPU_ZERO(&cores);
    if (sched_getaffinity(0, sizeof(cores), &cores) == 0) return std::max(1, CPU_COUNT(&cores));
    return static_cast<int>(std::max(1u, std::thread::hardware_concurrency()));
}

}  // namespace

ThreadPool::ThreadPool(int threads) : size_(threads > 0 ? threads : usable_cores()) {}

ThreadPool::~ThreadPool() {
    {
        const std::lock_guard lock(mutex_);
        stop_ = true;
    }
    wake_.notify_all();
    for (std::thread& thread : threads_) thread.join();
}

void ThreadPool::start() {
    while (static_cast<int>(threads_.size()) + 1 < size_) {
        const int rank = static_cast<int>(threads_.size()) + 1;
        threads_.emplace_back([this, rank] { work(rank); });
    }
}

void ThreadPool::work(int rank) {
    uint64_t seen = 0;
    std::unique_lock lock(mutex_);
    while (true) {
        wake_.wait(lock, [&] { return stop_ || generation_ != seen; });
        if (stop_) return;
        seen = generation_;
        if (rank >= members_) continue;
        const std::function<void(int)>& body = *body_;
        lock.unlock();
        std::exception_ptr error;
        try {
            body(rank);
        } catch (...) {
            error = std::current_exception();
        }
        lock.lock();
        if (error && !error_) error_ = error;
        if (--running_ == 0) done_.notify_one();
    }
}

void ThreadPool::team(int members, const std::function<void(int)>& body) {
    if (members <= 1) {
        body(0);
        return;
    }
    start();
    {
        const std::lock_guard lock(mutex_);
        body_ = &body;
        members_ = members;
        running_ = members - 1;
        error_ = nullptr;
        ++generation_;
    }
    wake_.notify_all();
    std::exception_ptr error;
    try {
        body(0);
    } catch (...) {
        error = std::current_exception();
    }
    std::unique_lock lock(mutex_);
    done_.wait(lock, [&] { return running_ == 0; });
    if (!error) error = error_;
    if (error) std::rethrow_exception(error);
}

void ThreadPool::each(int64_t tasks, const std::function<void(int64_t)>& body) {
    std::atomic<int64_t> next{0};
    const int members = static_cast<int>(std::min<int64_t>(size_, tasks));
    team(members, [&](int) {
        for (int64_t task = next++; task < tasks; task = next++) body(task);
    });
}

}  // namespace superpixel
