"""Every kernel compiles for real GPUs: no warning, no spill, no inexact arithmetic, fitting arguments."""

from pathlib import Path

import numpy as np
import pytest

from superpixel_kernels import Guidance, segment
from superpixel_kernels.cuda import source
from superpixel_kernels.cuda.pipeline import Pipeline
from superpixel_kernels.cuda.stages import Settings
from superpixel_kernels.pixels import as_pixels
from tests.kernels import cuda_compile, golden_guidance, images
from tests.kernels.cuda_compile import ARCHITECTURES, Compiled, CompileFailed, by_nvcc, by_nvrtc
from tests.kernels.cuda_sim import SimDevice, build
from tests.kernels.cuda_sim.__main__ import cuda_trace
from tests.kernels.cuda_sim.recording import RecordingDevice
from tests.kernels.devices import TUNING
from tests.kernels.marks import marked

pytestmark = [pytest.mark.cuda_sim, pytest.mark.unsanitized]

OWN = Path(__file__).with_name("cuda_sim") / "kernels"
FILES = [*sorted(build.KERNELS.glob("*.cu")), OWN / "sums.cu", OWN / "primitives.cu"]


@pytest.mark.parametrize("architecture", marked(ARCHITECTURES, pytest.mark.slow, ARCHITECTURES[1:-1]))
@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_nvrtc(file, architecture):
    compiled = by_nvrtc(file, architecture)
    assert compiled.entries()
    assert compiled.spills() == []
    assert compiled.inexact() == []


@pytest.mark.parametrize(
    "architectures",
    [
        # What differs between architectures is ptxas' work, which NVRTC does for all of them.
        pytest.param(ARCHITECTURES[:1], id="oldest"),
        pytest.param(ARCHITECTURES, id="all", marks=pytest.mark.slow),
    ],
)
@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_nvcc(file, architectures):
    compiled = by_nvcc(file, architectures)
    for architecture in architectures:
        assert f"for 'sm_{architecture}'" in compiled.log
    assert compiled.spills() == []


def check_launches(launches, files):
    """Each launch's arguments have the types of the kernel's parameters in PTX."""
    entries = {}
    for file in files:
        entries |= by_nvrtc(file, ARCHITECTURES[0]).entries()
    for kernel, arguments in sorted(launches):
        assert (kernel, list(arguments)) == (kernel, entries.get(kernel))


def test_launchers_pass_what_the_kernels_take():
    """Of every kernel there is: none is left that no launcher uses."""
    device = RecordingDevice(SimDevice())
    image = images.golden(40, 30)
    hierarchy = segment(image, backend="cpu")
    cuda_trace(as_pixels(image), 10.0, device)
    pipeline = Pipeline(device, tuning=TUNING)
    pixel_records = pipeline.pixel_merges(image, hierarchy.base_labels, Settings(10.0))
    records = hierarchy.merges.view(np.int32).reshape(-1, 4)
    pipeline.cut(hierarchy.base_labels, records, hierarchy.base_count, 9)
    pipeline.cut(hierarchy.base_labels, pixel_records, 40 * 30, 1000)
    for prior_mode in ("soft", "hard"):
        maps = {name: getattr(golden_guidance, name)(40, 30) for name in ("edges", "prior", "importance")}
        guidance = Guidance(**maps, prior_mode=prior_mode).fitted(30, 40)
        pipeline.segment(image, (30, 40), Settings(10.0), guidance=guidance)
        pipeline.compute_tile(image, 4, (0, 20, 0, 20), Settings(10.0), guidance=guidance)
    large = np.zeros((480, 480, 1), np.uint8)  # of the step that has tiles of its own
    pipeline.segment(large, large.shape[:2], Settings(10.0))
    check_launches(device.launches, FILES)
    kernels = set()
    for file in build.KERNELS.glob("*.cu"):
        kernels |= by_nvrtc(file, ARCHITECTURES[0]).entries().keys()
    assert {kernel for kernel, _ in device.launches} == kernels


@pytest.mark.parametrize("name", source.files())
def test_what_cupy_is_given_is_the_file_complete_in_itself(name, tmp_path):
    given = source.source(name)
    assert '#include "' not in given
    alone = tmp_path / f"{name}.cu"
    alone.write_text(given)
    # Constants that only other files use are no news here.
    options = ("--fmad=false", "--disable-warnings")
    assert by_nvrtc(alone, 75, options).ptx == by_nvrtc(build.KERNELS / f"{name}.cu", 75).ptx


# --- the checks themselves ----------------------------------------------------------------------------------


def write(folder, body, parameters="double *a, double b, int n"):
    file = folder / "bad.cu"
    file.write_text(f'extern "C" __global__ void bad_kernel({parameters}) {{ {body} }}\n')
    return file


def test_a_launch_that_does_not_fit_is_found():
    device = RecordingDevice(SimDevice(folder=OWN))
    values, total = device.empty(8, np.int32), device.empty(1, np.int32)
    for array in (values, total):
        device.upload(np.zeros(array.size, np.int32), array)
    device.launch("sums_reduce", 1, 256, [values, np.int32(8), total])
    check_launches(device.launches, FILES)
    assert device.launches == {("sums_reduce", ("u64", "u32", "u64"))}
    for wrong in (("u64", "u64", "u64"), ("u64", "u32"), ("u64", "f32", "u64")):
        with pytest.raises(AssertionError):
            check_launches({("sums_reduce", wrong)}, FILES)
    with pytest.raises(AssertionError):
        check_launches({("sums_of_another_name", ("u64",))}, FILES)


@pytest.mark.parametrize("compiler", [lambda file: by_nvrtc(file, 75), by_nvcc], ids=["nvrtc", "nvcc"])
@pytest.mark.parametrize("body", ["int unused;", "a[0] = undeclared;"], ids=["warning", "error"])
def test_warnings_and_errors_fail(tmp_path, compiler, body):
    with pytest.raises(CompileFailed, match=r"bad\.cu\(1\): (warning|error)"):
        compiler(write(tmp_path, body))


SPILLING = (
    "double x[64]; for (int i = 0; i < 64; ++i) x[i] = a[i * n]; "
    "for (int r = 0; r < n; ++r) for (int i = 0; i < 64; ++i) x[i] = x[i] * x[(i + 1) % 64] + b; "
    "for (int i = 0; i < 64; ++i) a[i] = x[i];"
)


def test_register_spills_are_seen(tmp_path):
    file = write(tmp_path, SPILLING)
    file.write_text(file.read_text().replace("void bad", "void __launch_bounds__(1024, 1) bad"))
    (spill,) = by_nvrtc(file, 75).spills()
    assert spill.startswith("bad_kernel on sm_75: ")
    with pytest.raises(CompileFailed, match="spill"):
        by_nvcc(file, [75])


def test_inexact_arithmetic_is_seen(tmp_path):
    file = write(tmp_path, "a[0] = a[1] * b + a[2];")
    assert by_nvrtc(file, 75).inexact() == []
    assert "fma.rn.f64" in by_nvrtc(file, 75, []).inexact()[0]
    fast = write(tmp_path, "a[0] = sqrtf(b) / a[1];", "float *a, float b, int n")
    assert by_nvrtc(fast, 75).inexact() == []
    assert len(by_nvrtc(fast, 75, ["--use_fast_math", "--fmad=false"]).inexact()) >= 2


def test_parameters_are_read_from_ptx():
    ptx = """
    .visible .entry one_kernel(
        .param .u64 .ptr .align 1 one_kernel_param_0,
        .param .u32 one_kernel_param_1,
        .param .f64 one_kernel_param_2
    )
    .maxntid 256
    .visible .entry two_kernel()
    """
    assert Compiled(ptx, "").entries() == {"one_kernel": ["u64", "u32", "f64"], "two_kernel": []}


def test_nvcc_comes_from_the_packages_where_none_is_on_the_path(monkeypatch, tmp_path):
    package = tmp_path / "nvidia" / "cu13" / "bin"
    package.mkdir(parents=True)
    (package / "nvcc").touch()
    (tmp_path / "nvidia" / "__init__.py").touch()
    monkeypatch.setattr(cuda_compile.shutil, "which", lambda _: None)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(cuda_compile.importlib.util.sys.modules, "nvidia", raising=False)
    assert cuda_compile.find_nvcc() == package / "nvcc"
