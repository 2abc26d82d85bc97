// What CuPy's runtime.pyx takes from this header, which is in a package of its own.
#pragma once

extern "C" int cudaProfilerStart();
extern "C" int cudaProfilerStop();
