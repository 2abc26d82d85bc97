// The simulated device as a program: reads orders from standard input, and answers on standard output. A
// separate process keeps a kernel's crash, and AddressSanitizer, out of the process of the tests.
#include <dlfcn.h>
#include <link.h>
#include <signal.h>
#include <sys/time.h>
#include <ucontext.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "sim.h"

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#endif

namespace sim {
namespace {

int answers = -1;
Random garbage;

struct Image {
    uintptr_t begin, end;
    std::string path;
    uintptr_t base;
};
std::vector<Image> images;  // the loaded .cu files

void write_all(const void* data, size_t bytes) {
    const char* p = static_cast<const char*>(data);
    while (bytes > 0) {
        const ssize_t n = write(answers, p, bytes);
        if (n <= 0) _exit(1);
        p += n;
        bytes -= static_cast<size_t>(n);
    }
}

void read_all(void* data, size_t bytes) {
    char* p = static_cast<char*>(data);
    while (bytes > 0) {
        const ssize_t n = read(STDIN_FILENO, p, bytes);
        if (n <= 0) _exit(0);  // the device was closed
        p += n;
        bytes -= static_cast<size_t>(n);
    }
}

u64 read_word() {
    u64 word = 0;
    read_all(&word, sizeof word);
    return word;
}

std::string read_text() {
    std::string text(read_word(), '\0');
    read_all(text.data(), text.size());
    return text;
}

void answer(char status, const void* data, size_t bytes) {
    const u64 length = bytes;
    write_all(&status, 1);
    write_all(&length, sizeof length);
    write_all(data, bytes);
}

void answer(const std::string& text) { answer('+', text.data(), text.size()); }

int note_image(dl_phdr_info* info, size_t, void* path) {
    if (std::strcmp(info->dlpi_name, static_cast<const char*>(path)) != 0) return 0;
    for (int i = 0; i < info->dlpi_phnum; ++i) {
        const auto& header = info->dlpi_phdr[i];
        if (header.p_type != PT_LOAD) continue;
        const uintptr_t begin = info->dlpi_addr + header.p_vaddr;
        images.push_back({begin, begin + header.p_memsz, info->dlpi_name, info->dlpi_addr});
    }
    return 0;
}

void load(std::string path) {
    const size_t before = kernels.size();
    if (dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL) == nullptr) fault(dlerror());
    dl_iterate_phdr(note_image, path.data());
    // One line per kernel: its name, the bound on its threads, and its parameters as pass, kind, size, name.
    std::string text;
    for (size_t i = before; i < kernels.size(); ++i) {
        const KernelInfo& kernel = kernels[i];
        text += kernel.name + " " + std::to_string(kernel.max_threads);
        for (size_t p = 0; p < kernel.types.size(); ++p)
            text += std::string(" ") + kernel.types[p].pass + kernel.types[p].kind +
                    std::to_string(kernel.types[p].size) + ":" + kernel.parameters[p];
        text += "\n";
    }
    answer(text);
}

void allocate() {
    const u64 bytes = read_word(), unit = read_word();
    auto region = std::make_unique<Region>(bytes, unit, "");
    region->fill_with_garbage(garbage);
    const u64 address = reinterpret_cast<uintptr_t>(region->begin);
    const auto after = std::upper_bound(arrays.begin(), arrays.end(), region,
                                        [](const auto& a, const auto& b) { return a->begin < b->begin; });
    arrays.insert(after, std::move(region));
    answer('+', &address, sizeof address);
}

void release() {
    const auto* address = reinterpret_cast<char*>(read_word());
    const auto found = std::find_if(arrays.begin(), arrays.end(),
                                    [&](const auto& region) { return region->begin == address; });
    if (found != arrays.end()) arrays.erase(found);
}

void copy_in() {
    auto* to = reinterpret_cast<char*>(read_word());
    const u64 bytes = read_word();
    read_all(to, bytes);
    Region* region = find_array(to);
    if (region != nullptr) race::mark_written(*region, static_cast<size_t>(to - region->begin), bytes);
    answer("");
}

void copy_out() {
    const auto* from = reinterpret_cast<const char*>(read_word());
    const u64 bytes = read_word();
    answer('+', from, bytes);
}

void launch_kernel() {
    Launch what;
    const std::string name = read_text();
    for (const KernelInfo& kernel : kernels)
        if (kernel.name == name) what.kernel = &kernel;
    const auto word = [] { return static_cast<u32>(read_word()); };
    what.grid.x = word();
    what.grid.y = word();
    what.grid.z = 1;
    what.block.x = word();
    what.block.y = word();
    what.block.z = 1;
    what.shared_bytes = word();
    what.cooperative = word() != 0;
    what.arguments.resize(read_word());
    read_all(what.arguments.data(), what.arguments.size() * sizeof(u64));
    const auto until = [](double seconds) {
        itimerval timer{};
        timer.it_value.tv_sec = static_cast<time_t>(seconds);
        timer.it_value.tv_usec =
            static_cast<suseconds_t>((seconds - static_cast<double>(timer.it_value.tv_sec)) * 1e6);
        setitimer(ITIMER_REAL, &timer, nullptr);
    };
    until(options.seconds);
    run(std::move(what));
    until(0);
    answer("");
}

void* interrupted_at(void* context) {
    const auto& machine = static_cast<ucontext_t*>(context)->uc_mcontext;
#if defined(__x86_64__)
    return reinterpret_cast<void*>(machine.gregs[REG_RIP] + 1);  // as if it returned to there
#else
    return reinterpret_cast<void*>(machine.pc + 1);
#endif
}

void on_signal(int number, siginfo_t* info, void* context) {
    std::string text = "access to no memory at all";
    if (number == SIGFPE) text = "division by zero";
    if (number == SIGALRM) text = "does not end: stopped after " + std::to_string(options.seconds) + " s";
    if (const Thread* thread = current != nullptr ? current : latest; thread != nullptr) {
        const char* p = static_cast<const char*>(info->si_addr);
        const char* low = thread->stack.base;
        if (number == SIGSEGV && p < low && p >= low - 65536) text = "stack overflow";
        const std::string line = at(interrupted_at(context));
        text += " by " + where(*thread) + (line.empty() ? at(thread->pc) : line);
    }
    fault(text);
}

}  // namespace

bool is_program(const volatile void* address) {
    const auto p = reinterpret_cast<uintptr_t>(address);
    return std::any_of(images.begin(), images.end(),
                       [&](const Image& image) { return p >= image.begin && p < image.end; });
}

std::string at(void* pc) {
    const auto p = reinterpret_cast<uintptr_t>(pc);
    for (const Image& image : images)
        if (p >= image.begin && p < image.end) {
            char offset[32];
            std::snprintf(offset, sizeof offset, "%llx", static_cast<unsigned long long>(p - 1 - image.base));
            return std::string(" at <pc ") + offset + " " + image.path + ">";
        }
    return "";
}

std::string at(const char* file, int line) {
    const char* slash = std::strrchr(file, '/');
    return std::string(" at ") + (slash != nullptr ? slash + 1 : file) + ":" + std::to_string(line);
}

static std::string position(u32 x, u32 y, u32 height) {
    return height == 1 ? std::to_string(x) : std::to_string(x) + "," + std::to_string(y);
}

std::string thread_name(u32 id) {
    const u32 block = id >> 10, thread = id & 1023;
    return position(thread % launch.block.x, thread / launch.block.x, launch.block.y) + " of block " +
           position(block % launch.grid.x, block / launch.grid.x, launch.grid.y);
}

std::string where(const Thread& thread) { return "thread " + thread_name(thread.id()); }

std::string describe(const volatile void* address, size_t size) {
    const Region* region = find_array(address);
    std::string name;
    if (region == nullptr && current != nullptr) {
        const auto beside = [&](const Region& r) {
            const auto* p = static_cast<const volatile char*>(address);
            return p >= r.begin - 64 && p < r.begin + r.bytes + 4096;
        };
        for (const auto& shared : current->block->shared)
            if (shared && beside(*shared) && (region == nullptr || shared->holds(address)))
                region = shared.get();
        const Region* dynamic = current->block->dynamic.get();
        if (dynamic != nullptr && beside(*dynamic) && (region == nullptr || dynamic->holds(address)))
            region = dynamic;
        if (region != nullptr)
            name = region == dynamic ? region->name : "the shared variable `" + region->name + "`";
    }
    if (region == nullptr) region = nearest_array(address);
    if (region == nullptr) return "at no array";
    if (name.empty()) {
        name = "an array that is no argument";
        for (size_t i = 0; i < launch.arguments.size(); ++i)
            if (launch.kernel->types[i].pass == '*' &&
                region->holds(reinterpret_cast<void*>(static_cast<uintptr_t>(launch.arguments[i])))) {
                name = "the array of `" + launch.kernel->parameters[i] + "`";
                break;
            }
    }
    const auto offset = static_cast<const volatile char*>(address) - region->begin;
    const auto bytes = static_cast<ptrdiff_t>(size);
    name += " (" + std::to_string(region->bytes) + " bytes), byte " + std::to_string(offset);
    if (size != 0 && offset % bytes == 0) name += " (element " + std::to_string(offset / bytes) + ")";
    return name;
}

void fault(const std::string& text) {
    const std::string whole =
        launch.kernel != nullptr ? "kernel `" + launch.kernel->name + "`: " + text : text;
    answer('!', whole.data(), whole.size());
    _exit(3);
}

}  // namespace sim

using namespace sim;

#if defined(__SANITIZE_ADDRESS__)
// Adds kernel, thread and array to AddressSanitizer's report, on standard error.
extern "C" void __asan_on_error() {
    if (current == nullptr || launch.kernel == nullptr) return;
    const void* address = __asan_get_report_address();
    std::fprintf(stderr, "cuda_sim: kernel `%s`: AddressSanitizer: %s, %s of %zu bytes, %s, by %s\n",
                 launch.kernel->name.c_str(), __asan_get_report_description(),
                 __asan_get_report_access_type() ? "write" : "read", __asan_get_report_access_size(),
                 describe(address, __asan_get_report_access_size()).c_str(), where(*current).c_str());
    std::fflush(stderr);
}

extern "C" void __ubsan_on_report() {
    if (current == nullptr || launch.kernel == nullptr) return;
    std::fprintf(stderr, "cuda_sim: kernel `%s`: UndefinedBehaviorSanitizer: by %s\n",
                 launch.kernel->name.c_str(), where(*current).c_str());
    std::fflush(stderr);
}
#endif

// worker SEED RACES RESIDENT SECONDS
int main(int argc, char** argv) {
    if (argc != 5) return 2;
    options.seed = std::strtoull(argv[1], nullptr, 10);
    options.races = std::atoi(argv[2]) != 0;
    options.resident = static_cast<u32>(std::atoi(argv[3]));
    options.seconds = std::atof(argv[4]);
    scheduling = Random(2 * options.seed + 1);
    garbage = Random(2 * options.seed + 2);
    // What kernels print must not mix with the answers.
    answers = dup(STDOUT_FILENO);
    dup2(STDERR_FILENO, STDOUT_FILENO);

    static char alternate[64 << 10];
    stack_t stack{};
    stack.ss_sp = alternate;
    stack.ss_size = sizeof alternate;
    sigaltstack(&stack, nullptr);
    struct sigaction action{};
    action.sa_sigaction = on_signal;
    action.sa_flags = SA_SIGINFO | SA_ONSTACK;
    sigaction(SIGALRM, &action, nullptr);
#if !defined(__SANITIZE_ADDRESS__)
    for (const int number : {SIGSEGV, SIGBUS, SIGFPE}) sigaction(number, &action, nullptr);
#endif

    for (;;) {
        char order = 0;
        read_all(&order, 1);
        switch (order) {
            case 'l':
                load(read_text());
                break;
            case 'a':
                allocate();
                break;
            case 'f':
                release();
                break;
            case 'w':
                copy_in();
                break;
            case 'r':
                copy_out();
                break;
            case 'k':
                launch_kernel();
                break;
            default:
                return 2;
        }
    }
}
