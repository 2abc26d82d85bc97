// The engine without Python, for machines that only an emulator has: pixels (width * height * 3 bytes) on standard input,
// base labels and merge records on standard output. Arguments: width height compactness.
#include <cstdio>
#include <cstdlib>

#include "engine.h"

int main(int argc, char** argv) {
    using namespace superpixel;
    if (argc != 4) return 2;
    const i32 width = std::atoi(argv[1]);
    const i32 height = std::atoi(argv[2]);
    const size_t pixels = static_cast<size_t>(width) * static_cast<size_t>(height);
    std::vector<unsigned char> image(3 * pixels);
    if (std::fread(image.data(), 1, image.size(), stdin) != image.size()) return 2;
    std::vector<i32> labels(pixels);
    Workspace workspace(2, kSimdPlain, 0);
    Run run(workspace, nullptr);
    const Segmentation result =
        segment(run, {image.data(), height, width, 3}, {}, std::atof(argv[3]), labels.data(), nullptr);
    std::fwrite(labels.data(), sizeof(i32), labels.size(), stdout);
    std::fwrite(result.merges.data(), sizeof(MergeRecord), result.merges.size(), stdout);
    return 0;
}
