#!/usr/bin/env bash
# Builds the engine for browsers and Node: frontend/src/engine/superpixel.wasm. Needs Debian's emscripten.
set -euo pipefail

cd "$(dirname "$0")/.."
kernels=kernels/superpixel_kernels
objects=build/wasm
out=frontend/src/engine/superpixel.wasm
mkdir -p "$objects" "$(dirname "$out")"

# As CMakeLists.txt: no fused multiply-add, so that the bits are those of the other engines.
common=(-O3 -msimd128 -ffp-contract=off -fno-math-errno -fno-trapping-math)
cxx=(-std=c++20 -Wall -Wextra -Wshadow -Werror -include "$kernels/wasm/bit_cast.h"
    -I "$kernels/include" -I "$kernels/cpu" -isystem third_party/zlib)

compiled=()
compile() { # compile SOURCE FLAGS...
    local source=$1 object
    shift
    object="$objects/$(basename "${source%.*}").o"
    emcc -c "${common[@]}" "$@" "$source" -o "$object"
    compiled+=("$object")
}
for source in "$kernels"/cpu/*.cpp; do
    case "$(basename "$source")" in
    *module.cpp | simd_avx*.cpp) ;; # for Python; for another processor
    *) compile "$source" "${cxx[@]}" ;;
    esac
done
compile "$kernels/wasm/module.cpp" "${cxx[@]}"
for source in adler32 crc32 deflate trees zutil; do
    compile "third_party/zlib/$source.c" -w -DDYNAMIC_CRC_TABLE
done

emcc "${common[@]}" "${compiled[@]}" --no-entry -o "$objects/superpixel.wasm" \
    -sALLOW_MEMORY_GROWTH=1 -sMAXIMUM_MEMORY=4GB -sMALLOC=emmalloc
mv "$objects/superpixel.wasm" "$out"
echo "$out: $(wc -c <"$out") bytes, $(gzip -9c "$out" | wc -c) gzipped"
