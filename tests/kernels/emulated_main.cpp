// The engine without Python, for machines that only an emulator has: pixels (width * height * 3 bytes) on standard input,
// base labels and merge records on standard output. Arguments: width height compactness, and with guidance: edge weight,
// prior weight, hard (0 or 1), and which maps follow the pixels, of "epv" (edges, prior as int32, importance).
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "engine.h"

namespace {

template <class T>
const T* read(std::vector<T>& values, size_t count) {
    values.resize(count);
    if (std::fread(values.data(), sizeof(T), count, stdin) != count) std::exit(2);
    return values.data();
}

}  // namespace

int main(int argc, char** argv) {
    using namespace superpixel;
    if (argc != 4 && argc != 8) return 2;
    const i32 width = std::atoi(argv[1]);
    const i32 height = std::atoi(argv[2]);
    const size_t pixels = static_cast<size_t>(width) * static_cast<size_t>(height);
    std::vector<unsigned char> image, edges, importance;
    std::vector<i32> prior, labels(pixels);
    read(image, 3 * pixels);
    Guide guide;
    if (argc == 8) {
        guide.edge_weight = std::atoi(argv[4]);
        guide.prior_weight = std::atoi(argv[5]);
        guide.hard = std::atoi(argv[6]) != 0;
        if (std::strchr(argv[7], 'e') != nullptr) guide.edges = read(edges, pixels);
        if (std::strchr(argv[7], 'p') != nullptr) guide.prior = read(prior, pixels);
        if (std::strchr(argv[7], 'v') != nullptr) guide.importance = read(importance, pixels);
    }
    Workspace workspace(2, kSimdPlain, 0);
    Run run(workspace, nullptr);
    const Segmentation result =
        segment(run, {image.data(), height, width, 3}, guide, std::atof(argv[3]), labels.data(), nullptr);
    std::fwrite(labels.data(), sizeof(i32), labels.size(), stdout);
    std::fwrite(result.merges.data(), sizeof(MergeRecord), result.merges.size(), stdout);
    return 0;
}
