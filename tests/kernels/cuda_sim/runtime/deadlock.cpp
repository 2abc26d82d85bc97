// Detects launches in which no thread can make progress, and describes them.
#include <algorithm>

#include "scheduler.h"

namespace sim {
namespace {

constexpr u32 kIdleLimit = 100'000;

}  // namespace

std::string describe_deadlock() {
    std::string text = "deadlock: no thread can go on";
    for (Block* block : resident) {
        // Threads with the same state at the same place.
        struct Group {
            std::string place;
            u32 count = 0;
            u32 first = 0;
        };
        std::vector<Group> groups;
        for (const Thread& thread : block->threads) {
            std::string place;
            switch (thread.state) {
                case State::barrier:
                    place = "at a barrier" + at(thread.file, thread.line);
                    break;
                case State::warp:
                case State::activemask:
                    place = "at a warp operation" + at(thread.file, thread.line);
                    break;
                case State::ready:
                    place = "spinning" + at(thread.pc);
                    break;
                case State::done:
                    continue;
            }
            const auto same = std::find_if(groups.begin(), groups.end(),
                                           [&](const Group& group) { return group.place == place; });
            if (same == groups.end())
                groups.push_back({place, 1, thread.index});
            else
                ++same->count;
        }
        text += "\n  block " + std::to_string(block->idx.x) + "," + std::to_string(block->idx.y) + ":";
        for (const Group& group : groups)
            text += " " + std::to_string(group.count) + (group.count == 1 ? " thread " : " threads ") +
                    "(first: " + std::to_string(group.first) + ") " + group.place + ";";
    }
    if (started < total)
        text += "\n  " + std::to_string(total - started) + " of " + std::to_string(total) +
                " blocks have not begun: no place is free" +
                (launch.cooperative ? "" : " (only a cooperative launch holds all blocks at the same time)");
    return text;
}

void note_idle(u32 amount, void* pc) {
    Thread& thread = *current;
    thread.pc = pc;
    if (thread.stamp != progress) {
        thread.stamp = progress;
        thread.idle = 0;
    }
    const u32 before = thread.idle;
    thread.idle += amount;
    if (thread.idle < kIdleLimit || before / 4096 == thread.idle / 4096) return;
    for (const Block* block : resident)
        for (const Thread& other : block->threads)
            if (other.state == State::ready && (other.stamp != progress || other.idle < kIdleLimit / 4))
                return;
    fault(describe_deadlock());
}

}  // namespace sim
