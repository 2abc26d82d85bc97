// A team of threads that lives as long as its owner. No global state: every Workspace has its own.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <exception>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

namespace superpixel {

class ThreadPool {
  public:
    // `threads` includes the caller's; 0 means all cores this process may use. Threads start on first use.
    explicit ThreadPool(int threads);
    ~ThreadPool();
    ThreadPool(const ThreadPool&) = delete;
    ThreadPool& operator=(const ThreadPool&) = delete;

    int size() const { return size_; }

    // Runs body(rank) for ranks 0..members-1 at the same time, each on a thread of its own (the caller is
    // rank 0), and waits. The first exception of any of them is thrown here. members <= size().
    void team(int members, const std::function<void(int)>& body);

    // Runs body(task) for tasks 0..tasks-1, on as many threads as there are, in any order.
    void each(int64_t tasks, const std::function<void(int64_t)>& body);

  private:
    void work(int rank);
    void start();

    const int size_;
    std::vector<std::thread> threads_;
    std::mutex mutex_;
    std::condition_variable wake_, done_;
    const std::function<void(int)>* body_ = nullptr;
    int members_ = 0;
    int running_ = 0;
    uint64_t generation_ = 0;
    bool stop_ = false;
    std::exception_ptr error_;
};

}  // namespace superpixel
