// The threads of a Workspace. There is no global pool.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <exception>
#include <functional>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

namespace superpixel {

class ThreadPool {
  public:
    // `threads` counts the calling thread; 0 means all cores this process may use. Threads start on first
    // use.
    explicit ThreadPool(int threads);
    ~ThreadPool();
    ThreadPool(const ThreadPool&) = delete;
    ThreadPool& operator=(const ThreadPool&) = delete;

    // How many threads work at the same time: as set by use(), and at most.
    int size() const { return size_; }
    int most() const { return most_; }

    // From now on let this many threads work; 0, or more than there are: all.
    void use(int threads) { size_ = threads > 0 && threads < most_ ? threads : most_; }

    // Runs body(rank) for ranks 0..members-1 at the same time, each on its own thread (the caller is rank 0),
    // and waits for all. members <= size(). Rethrows the first exception of any of them. Throws
    // std::runtime_error in a forked child of the process that started the threads, which does not have them.
    void team(int members, const std::function<void(int)>& body);

    // Runs body(task) for tasks 0..tasks-1, on size() threads, in any order.
    void each(int64_t tasks, const std::function<void(int64_t)>& body);

  private:
    struct State {
        std::vector<std::thread> threads;
        std::mutex mutex;
        std::condition_variable wake, done;
        const std::function<void(int)>* body = nullptr;
        int members = 0;
        int running = 0;
        uint64_t generation = 0;
        bool stop = false;
        std::exception_ptr error;
        int process = 0;  // the process that the threads run in
    };
    void start();
    static void work(State& state, int rank);

    const int most_;
    int size_ = most_;
    std::unique_ptr<State> state_ = std::make_unique<State>();
};

}  // namespace superpixel
