"""CUDA's primitives compared with NumPy, in every mode; and checks of wrong launches and copies."""

from pathlib import Path

import numpy as np
import pytest

from tests.kernels.cuda_sim import BadLaunch, SimDevice, build, source

pytestmark = [pytest.mark.cuda_sim, pytest.mark.unsanitized]

KERNELS = Path(__file__).with_name("kernels")
MODES = ("plain", "race", "asan")


@pytest.fixture(params=[(mode, seed) for mode in MODES for seed in (0, 1)], ids=lambda p: f"{p[0]}-{p[1]}")
def device(request):
    mode, seed = request.param
    made = SimDevice(seed, mode, folder=KERNELS)
    yield made
    made.close()


def to_device(device, host):
    host = np.ascontiguousarray(host).reshape(-1)
    array = device.empty(host.size, host.dtype)
    device.upload(host, array)
    return array


def to_host(device, array):
    host = np.empty(array.size, array.dtype)
    device.download((array, host))
    return host


@pytest.mark.parametrize(
    ("kernel", "dtype"), [("i32", np.int32), ("u64", np.uint64), ("f32", np.float32), ("f64", np.float64)]
)
def test_shuffles(device, kernel, dtype):
    values = (np.random.default_rng(1).random(128) * 1e9).astype(dtype)
    out = device.empty(8 * 128, dtype)
    device.launch(f"primitives_shuffle_{kernel}", 2, 64, [to_device(device, values), out])
    warps, lane = values.reshape(4, 32), np.arange(32)
    sources = [
        np.full(32, 5),
        lane // 8 * 8 + (lane + 1) % 8,
        np.where(lane >= 3, lane - 3, lane),
        np.where(lane % 16 >= 3, lane - 3, lane),
        np.where(lane + 2 < 32, lane + 2, lane),
        np.where(lane % 4 < 2, lane + 2, lane),
        lane ^ 9,
        np.where(lane < 16, lane ^ 15, 31),
    ]
    expected = np.stack([warps[:, index] for index in sources], axis=-1)
    np.testing.assert_array_equal(to_host(device, out).reshape(4, 32, 8), expected)


def test_votes(device):
    values = np.random.default_rng(2).integers(0, 40, 128).astype(np.uint32)
    out = device.empty(8 * 128, np.uint32)
    device.launch("primitives_votes", 2, 64, [to_device(device, values), out])
    bits = np.uint32(1) << np.arange(32, dtype=np.uint32)
    for block, result in zip(values.reshape(2, 64), to_host(device, out).reshape(2, 2, 32, 8), strict=True):
        for warp, mine in zip(block.reshape(2, 32), result, strict=True):
            ballot = (bits * (warp % 3 == 0)).sum()
            assert (mine[:, 0] == ballot).all()
            assert (mine[:, 1] == (warp == 7).any()).all()
            assert (mine[:, 2] == 1).all()
            assert mine[:, 3].tolist() == [(bits * (warp % 5 == value % 5)).sum() for value in warp]
            assert (mine[:, 4] == (block % 2 == 0).sum()).all()
            assert (mine[:, 5] == (block == 7).any()).all()
            assert (mine[:, 6] == 1).all()
            odd = (bits * ((warp % 3 == 0) & (warp % 2 == 1))).sum()
            assert mine[:, 7].tolist() == np.where(warp % 2 == 1, odd, 0).tolist()


def test_lanes_that_run_together(device):
    total, places = to_device(device, np.zeros(1, np.uint32)), to_device(device, np.zeros(192, np.uint32))
    device.launch("primitives_aggregate", 3, 64, [total, places])
    assert to_host(device, total).tolist() == [192]
    assert (to_host(device, places) == 1).all()


@pytest.mark.parametrize(("kernel", "dtype"), [("i32", np.int32), ("u32", np.uint32), ("u64", np.uint64)])
def test_atomics(device, kernel, dtype):
    low = -(2**30) if kernel == "i32" else 1
    values = np.random.default_rng(3).integers(low, 2**30, 192).astype(dtype)
    limits = np.iinfo(dtype)
    start = np.array([0, limits.max, limits.min, limits.max, 0, 0, 0, 0], dtype)
    if kernel != "i32":
        start[3] = limits.max
    out = to_device(device, start)
    device.launch(f"primitives_atomics_{kernel}", 3, 64, [to_device(device, values), out])
    with np.errstate(over="ignore"):
        total = values.sum(dtype=dtype)
        expected = [
            total, values.min(), values.max(), np.bitwise_and.reduce(values) & limits.max,
            np.bitwise_or.reduce(values), total, max(values.max(), 0),
            0 if kernel == "u64" else dtype(0) - total,
        ]  # fmt: skip
    assert to_host(device, out).tolist() == [int(value) for value in expected]


def test_exchange(device):
    slot, taken = to_device(device, np.array([-1], np.int32)), device.empty(192, np.int32)
    device.launch(
        "primitives_exchange", 3, 64, [to_device(device, np.arange(192, dtype=np.int32)), slot, taken]
    )
    came_out = np.concatenate([to_host(device, taken), to_host(device, slot)])
    assert sorted(came_out.tolist()) == list(range(-1, 192))


def test_bits(device):
    values = np.random.default_rng(4).integers(0, 2**63, 64).astype(np.uint64) >> np.arange(64).astype(
        np.uint64
    )
    values[-2:] = 0, 2**63
    out = device.empty(8 * 64, np.int32)
    device.launch("primitives_bits", 2, 32, [to_device(device, values), out])

    def expected(value):
        low = value & 0xFFFFFFFF
        first = ((low & -low).bit_length(), (value & -value).bit_length())
        counts = [low.bit_count(), value.bit_count(), *first, 32 - low.bit_length(), 64 - value.bit_length()]
        return [*counts, low & 0x7F7FFFFF, 1078530011]

    assert to_host(device, out).reshape(64, 8).tolist() == [expected(int(value)) for value in values]


def test_doubles_are_rounded_one_by_one(device):
    values = np.random.default_rng(5).random((256, 3)) * 1e6
    out, rounded = device.empty(256, np.float64), device.empty(256, np.float32)
    device.launch("primitives_doubles", 4, 64, [to_device(device, values), out, rounded])
    a, b, c = values.T
    expected = (a * b + c) / np.sqrt(a * a + b * b)
    np.testing.assert_array_equal(to_host(device, out), expected)
    np.testing.assert_array_equal(to_host(device, rounded), expected.astype(np.float32))


def test_tiles(device):
    pixels = np.random.default_rng(6).integers(0, 256, (13, 21, 4)).astype(np.uint8)
    out = device.empty(13 * 21 * 4, np.int16)
    scalars = [np.int32(21), np.uint32(13), np.int64(20), np.float64(2.5)]
    device.launch("primitives_tile", (3, 2), (8, 8), [to_device(device, pixels), out, *scalars])
    padded = np.pad(pixels.astype(np.int16), ((1, 1), (1, 1), (0, 0)), mode="edge")
    expected = sum(padded[dy : dy + 13, dx : dx + 21] for dy in range(3) for dx in range(3))
    expected[..., 3] += 1 + 2 + 50
    np.testing.assert_array_equal(to_host(device, out).reshape(13, 21, 4), expected)


def test_sums_over_the_grid(device):
    values = np.random.default_rng(7).integers(-100, 100, 1000).astype(np.int32)
    total = to_device(device, np.zeros(1, np.int32))
    device.launch("sums_reduce", 4, 256, [to_device(device, values), np.int32(1000), total])
    assert to_host(device, total).tolist() == [values.sum()]


def test_rounds_with_a_grid_barrier(device):
    cells = np.arange(500, dtype=np.uint32)
    array, barrier = (
        to_device(device, np.concatenate([cells, cells])),
        to_device(device, np.zeros(1, np.uint32)),
    )
    blocks = device.resident_blocks("sums_rounds", 64)
    args = [array, np.int32(500), np.int32(20), barrier]
    device.launch("sums_rounds", blocks, 64, args, cooperative=True)
    for _ in range(20):
        cells = np.roll(cells, 1) + np.roll(cells, -1)
    np.testing.assert_array_equal(to_host(device, array[:500]), cells)


def test_dynamic_shared_memory(device):
    pixels = np.random.default_rng(8).integers(-99, 99, (12, 20, 4)).astype(np.int16)
    out = device.empty(pixels.size, np.int16)
    args = [to_device(device, pixels), out, np.int32(20), np.int32(12)]
    device.launch("sums_transpose", (3, 2), (8, 8), args, shared_bytes=512)
    np.testing.assert_array_equal(to_host(device, out).reshape(20, 12, 4), pixels.transpose(1, 0, 2))


# --- arrays and launches ------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def plain():
    made = SimDevice(folder=KERNELS, memory=1 << 20)
    yield made
    made.close()


def test_new_arrays_hold_the_seeds_garbage():
    contents = []
    for seed in (1, 1, 2):
        device = SimDevice(seed, folder=KERNELS)
        contents.append(to_host(device, device.empty(1000, np.int32)))
    np.testing.assert_array_equal(contents[0], contents[1])
    assert (contents[0] != contents[2]).mean() > 0.99
    assert len(np.unique(contents[0])) > 990


def test_slices_are_views(plain):
    array = to_device(plain, np.arange(10, dtype=np.int16))
    plain.upload(np.array([-1, -2], np.int16), array[3:5])
    assert to_host(plain, array).tolist() == [0, 1, 2, -1, -2, 5, 6, 7, 8, 9]
    assert to_host(plain, array[2:][1:4]).tolist() == [-1, -2, 5]
    with pytest.raises(TypeError, match="no elements"):
        array[3]


def test_memory_has_a_bound():
    from superpixel_kernels import errors

    device = SimDevice(folder=KERNELS, memory=1000)
    array = device.empty(600, np.uint8)
    with pytest.raises(
        getattr(errors, "OutOfMemory", MemoryError), match="500 bytes asked for, 400 of 1000 left"
    ):
        device.empty(500, np.uint8)
    del array
    device.empty(500, np.uint8)


TILE = [np.int32(8), np.uint32(8), np.int64(0), np.float64(0)]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda args: args[:-1], r"primitives_tile takes 6 arguments \(in, out, width, .*\), not 5"),
        (lambda args: [*args, args[0]], r"takes 6 arguments .*, not 7"),
        (lambda args: [*args[:2], 8, *args[3:]], "argument 3, `width`, is a numpy.int32, not int$"),
        (
            lambda args: [*args[:2], np.int64(8), *args[3:]],
            "argument 3, `width`, is a .*int32, not int64",
        ),
        (
            lambda args: [*args[:3], np.int32(8), *args[4:]],
            "argument 4, `height`, is a .*uint32, not int32",
        ),
        (lambda args: [*args[:5], np.float32(0)], "argument 6, `scale`, is a numpy.float64, not float32"),
        (
            lambda args: [args[0], np.int32(1), *args[2:]],
            "argument 2, `out`, is a pointer: it takes an",
        ),
        (lambda args: [args[0], np.zeros(9), *args[2:]], "argument 2, `out`, .* not ndarray"),
        (lambda args: [*args[:2], args[0], *args[3:]], "argument 3, `width`, is a numpy.int32, not SimArray"),
        (
            lambda args: [args[0][1:5], *args[1:]],
            "`in`, points to structs of 4 bytes: .* not aligned",
        ),
        (
            lambda args: [args[0][:6], *args[1:]],
            "`in`, points to structs of 4 bytes, not to uint8",
        ),
    ],
)
def test_wrong_arguments(plain, change, words):
    args = [plain.empty(256, np.uint8), plain.empty(256, np.int16), *TILE]
    with pytest.raises(BadLaunch, match=words):
        plain.launch("primitives_tile", 1, (8, 8), change(args))


@pytest.mark.parametrize("dtype", [np.int64, np.uint64, np.int16, np.float32, np.uint8])
def test_pointers_of_another_width_or_kind(plain, dtype):
    total = plain.empty(1, np.int32)
    with pytest.raises(BadLaunch, match="argument 1, `values`, points to int32"):
        plain.launch("sums_reduce", 1, 256, [plain.empty(256, dtype), np.int32(256), total])


def test_arrays_of_another_device(plain):
    other = SimDevice(folder=KERNELS)
    with pytest.raises(BadLaunch, match="`values`, is a pointer: it takes an array of this device"):
        plain.launch("sums_reduce", 1, 256, [other.empty(8, np.int32), np.int32(8), plain.empty(1, np.int32)])


@pytest.mark.parametrize(
    ("sizes", "words"),
    [
        ({"kernel": "sums_none"}, "sums.cu has no kernel sums_none"),
        ({"kernel": "nothing_here"}, "kernel nothing_here should be in nothing.cu, which does not exist"),
        ({"block": 512}, "blocks of 512 threads, but its __launch_bounds__ allow 256"),
        ({"grid": 0}, "grid is 0 x 1"),
        ({"grid": (1, 65536)}, "a grid of 1 x 65536"),
        ({"shared_bytes": 50000}, "shared_bytes is 50000"),
        ({"grid": 4, "cooperative": True}, "a cooperative launch of 4 blocks, but 3 can be resident"),
    ],
)
def test_wrong_launches(plain, sizes, words):
    values, total = plain.empty(256, np.int32), plain.empty(1, np.int32)
    launch = {"kernel": "sums_reduce", "grid": 1, "block": 256, "args": [values, np.int32(8), total]} | sizes
    with pytest.raises(BadLaunch, match=words):
        plain.launch(**launch)


@pytest.mark.parametrize(
    ("host", "words"),
    [
        (np.zeros(5, np.int32), "copy between 5 int32 and 4 int32"),
        (np.zeros(4, np.uint32), "copy between 4 uint32 and 4 int32"),
        (np.zeros(8, np.int32)[::2], "contiguous"),
    ],
)
def test_wrong_copies(plain, host, words):
    array = plain.empty(4, np.int32)
    with pytest.raises(BadLaunch, match=words):
        plain.upload(host, array)
    with pytest.raises(BadLaunch, match=words):
        plain.download((array, host))


# --- the build ----------------------------------------------------------------------------------------------


def kernel(body):
    return f'extern "C" __global__ void bad_kernel(int *out) {{ {body} }}\n'


@pytest.mark.parametrize(
    ("text", "error", "words"),
    [
        (kernel("out[0] = undeclared;"), build.CompileFailed, r"bad\.cu:1:.*undeclared"),
        (
            kernel("__shared__ int x = 3;"),
            source.UnsupportedSource,
            r"bad\.cu:1: __shared__ takes no",
        ),
        ("\n__shared__ int x[4];\n" + kernel(""), source.UnsupportedSource, r"bad\.cu:2: __shared__ outside"),
        (
            kernel("__shared__ int *x, *y;"),
            source.UnsupportedSource,
            r"bad\.cu:1: this __shared__",
        ),
    ],
)
def test_what_is_not_understood_is_named(tmp_path, text, error, words):
    (tmp_path / "bad.cu").write_text(text)
    with pytest.raises(error, match=words):
        SimDevice(folder=tmp_path).launch("bad_kernel", 1, 1, [])


def test_an_edited_header_is_compiled_again(tmp_path):
    (tmp_path / "edited.cu").write_text(
        '#include "value.cuh"\nextern "C" __global__ void edited_write(int *out) { out[0] = kValue; }\n'
    )
    for value in (1, 2):
        (tmp_path / "value.cuh").write_text(f"constexpr int kValue = {value};\n")
        device = SimDevice(folder=tmp_path)
        out = device.empty(1, np.int32)
        device.launch("edited_write", 1, 1, [out])
        assert to_host(device, out).tolist() == [value]
