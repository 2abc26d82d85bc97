#include "thread_pool.h"

#include <sched.h>
#include <unistd.h>

#include <algorithm>
#include <stdexcept>

namespace superpixel {
namespace {

int usable_cores() {
#if defined(__linux__)
    cpu_set_t cores;
    CPU_ZERO(&cores);
    if (sched_getaffinity(0, sizeof(cores), &cores) == 0) return std::max(1, CPU_COUNT(&cores));
#endif
    return static_cast<int>(std::max(1u, std::thread::hardware_concurrency()));
}

}  // namespace

ThreadPool::ThreadPool(int threads) : most_(threads > 0 ? threads : usable_cores()) {}

ThreadPool::~ThreadPool() {
    if (state_->process != 0 && state_->process != getpid()) {
        // A forked child does not have the threads, and cannot destroy what they wait on: leak it.
        static_cast<void>(state_.release());
        return;
    }
    {
        const std::lock_guard lock(state_->mutex);
        state_->stop = true;
    }
    state_->wake.notify_all();
    for (std::thread& thread : state_->threads) thread.join();
}

void ThreadPool::start() {
    if (state_->process == 0) state_->process = getpid();
    if (state_->process != getpid()) {
        throw std::runtime_error(
            "workspace: its threads belong to the process that created it; create a workspace after the "
            "fork");
    }
    std::vector<std::thread>& threads = state_->threads;
    while (static_cast<int>(threads.size()) + 1 < size_) {
        threads.emplace_back(work, std::ref(*state_), static_cast<int>(threads.size()) + 1);
    }
}

void ThreadPool::work(State& state, int rank) {
    uint64_t seen = 0;
    std::unique_lock lock(state.mutex);
    while (true) {
        state.wake.wait(lock, [&] { return state.stop || state.generation != seen; });
        if (state.stop) return;
        seen = state.generation;
        if (rank >= state.members) continue;
        const std::function<void(int)>& body = *state.body;
        lock.unlock();
        std::exception_ptr error;
        try {
            body(rank);
        } catch (...) {
            error = std::current_exception();
        }
        lock.lock();
        if (error && !state.error) state.error = error;
        if (--state.running == 0) state.done.notify_one();
    }
}

void ThreadPool::team(int members, const std::function<void(int)>& body) {
    if (members <= 1) {
        body(0);
        return;
    }
    start();
    State& state = *state_;
    {
        const std::lock_guard lock(state.mutex);
        state.body = &body;
        state.members = members;
        state.running = members - 1;
        state.error = nullptr;
        ++state.generation;
    }
    state.wake.notify_all();
    std::exception_ptr error;
    try {
        body(0);
    } catch (...) {
        error = std::current_exception();
    }
    std::unique_lock lock(state.mutex);
    state.done.wait(lock, [&] { return state.running == 0; });
    if (!error) error = state.error;
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
