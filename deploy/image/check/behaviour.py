"""Checks of a running image: user and rights, answers, TLS, stores, refusals to start, the stop signal."""

import os
from pathlib import Path

import trustme
from deploy.image.check.build import Image
from deploy.image.check.container import Container, running
from deploy.image.check.http_api import check_http_api
from deploy.image.check.report import check, say

_ARCHITECTURES = ("75", "80", "86", "89", "90", "100", "120")
_STORES = "/tmp"  # noqa: S108
# The pixels of the sample photograph in the wheel, as an array, which needs no reader of images.
_PIXELS = """python -c '
import numpy, superpixel_service
from pathlib import Path
from PIL import Image
photo = Path(superpixel_service.__file__).parent / "web/static/samples/astronaut.jpg"
numpy.save("{to}/photo.npy", numpy.asarray(Image.open(photo).convert("RGB")))
'"""
_NO_GPU = "no usable NVIDIA driver or GPU"

# Runs in the image, as its user. Compiles every kernel, and the headers that CuPy's own kernels include.
# CuPy's own call needs a device. ADDED are the options that it adds; NVRTC 12 needs the first for lambdas.
_COMPILE = """
import sys
import cupy
from cupy._core.core import assemble_cupy_compiler_options
from superpixel_kernels.cuda.source import OPTIONS, files, source

ADDED = "--device-as-default-execution-space", "-ftz=true"
own = "#include <cuda_fp16.h>\\n#include <cupy/complex.cuh>\\n#include <cupy/carray.cuh>\\n"
own += 'extern "C" __global__ void own(CArray<complex<float>, 1, true> a, __half* b)'
own += "{ a[0] = __half2float(b[0]); }"
texts = {file: (source(file), OPTIONS) for file in files()}
texts["cupy"] = own, assemble_cupy_compiler_options(())
for name, (text, options) in texts.items():
    for architecture in sys.argv[1:]:
        program = cupy.cuda.nvrtc.createProgram(text, name, [], [])
        try:
            cupy.cuda.nvrtc.compileProgram(program, [*options, *ADDED, f"-arch=sm_{architecture}"])
        except cupy.cuda.nvrtc.NVRTCError:
            sys.exit(f"{name}, sm_{architecture}: " + cupy.cuda.nvrtc.getProgramLog(program))
        assert len(cupy.cuda.nvrtc.getCUBIN(program)) > 1000
print(len(texts), "sources")
"""


def check_behaviour(image: Image, out: Path) -> None:
    """Run the image in several ways; `out` gets the logs.

    Raises:
        CheckFailed: the image does not behave as documented.
    """
    _check_plaintext(image, out / f"{image.name}.log")
    _check_tls(image, out)
    check_http_api(image, out / f"{image.name}-http.log")
    _check_refusals(image, out / f"{image.name}-refused.log")


def _check_plaintext(image: Image, log: Path) -> None:
    arguments = ("--allow-plaintext", "--log-format", "json", "--stores", _STORES)
    with running(image, log, *arguments) as container:
        seconds = container.wait_until_healthy()
        _check_rights(container)
        container.call("127.0.0.1:50051")
        _check_stores(container)
        if image.name == "cuda":
            _check_kernels_compile(container)
        check(container.stop() == 0, f"{image.name}: does not stop cleanly: {log.read_text()[-2000:]}")
        stopped = image.config["StopSignal"]
        say(f"{image.name}: healthy after {seconds:.1f} s; segmented; stopped by {stopped}")


def _check_stores(container: Container) -> None:
    """Write a store in the image; the server must open it."""
    name = container.image.name
    for program in (
        _PIXELS.format(to=_STORES),
        f"superpixel large {_STORES}/photo.npy --out {_STORES}/photo.zarr",
    ):
        done = container.inside("sh", "-euc", program)
        check(done.returncode == 0, f"{name}: no store is written: {done.stderr[-2000:]}")
    container.call("127.0.0.1:50051", "--store", "photo.zarr")
    say(f"{name}: a store is written and opened")


def _check_rights(container: Container) -> None:
    name = container.image.name
    status = Path(f"/proc/{container.process}/status").read_text().split("\n")
    facts = dict(line.split(":\t", 1) for line in status if ":\t" in line)
    check(facts["Uid"].split() == ["10001"] * 4, f"{name}: runs as {facts['Uid']}")
    check(facts["NSpid"].split()[-1] == "1", f"{name}: the server is not process 1")
    check(not int(facts["CapEff"], 16) | int(facts["CapBnd"], 16), f"{name}: has capabilities")
    for folder in ("/opt/superpixel", "/etc", "/var/tmp"):  # noqa: S108
        output = container.inside("touch", f"{folder}/x", root=True).stderr
        check("Read-only file system" in output, f"{name}: {folder} is writable")
    check(container.inside("touch", "/tmp/x").returncode == 0, f"{name}: /tmp is not writable")  # noqa: S108


def _check_kernels_compile(container: Container) -> None:
    say("cuda: compiling every kernel in the image")
    compiled = container.inside("python", "-W", "ignore", "-c", _COMPILE, *_ARCHITECTURES)
    check(compiled.returncode == 0, f"cuda: kernels do not compile: {compiled.stderr[-2000:]}")
    say(f"cuda: {compiled.stdout.strip()}, each for sm_{', sm_'.join(_ARCHITECTURES)}")
    check(_NO_GPU in container.log.read_text(), "cuda: the log does not say what is missing for a GPU")


def _check_tls(image: Image, out: Path) -> None:
    secrets = out / "secrets"
    _write_certificates(secrets, int(image.config["User"].split(":")[1]))
    files = ("--tls-cert-file", "/etc/superpixel/tls.crt", "--tls-key-file", "/etc/superpixel/tls.key")
    with running(image, out / f"{image.name}-tls.log", *files, secrets=secrets) as container:
        container.wait_until_healthy()
        container.call("localhost:50051", "--ca", str(secrets / "ca.crt"))
        check(container.stop() == 0, f"{image.name}: does not stop cleanly with TLS")
    say(f"{image.name}: the same over TLS")


def _write_certificates(folder: Path, group: int) -> None:
    """Write a server's certificate and its authority's, readable by the image's user.

    As Kubernetes mounts a secret, which belongs to root.
    """
    folder.mkdir(exist_ok=True)
    authority = trustme.CA()
    issued = authority.issue_cert("localhost")
    authority.cert_pem.write_to_path(str(folder / "ca.crt"))
    issued.private_key_and_cert_chain_pem.write_to_path(str(folder / "tls.crt"))
    issued.private_key_pem.write_to_path(str(folder / "tls.key"))
    for file in folder.iterdir():
        os.chown(file, -1, group)
        file.chmod(0o440)


def _check_refusals(image: Image, log: Path) -> None:
    """Check that the server needs permission for plaintext, and a GPU for `--backend cuda`."""
    with running(image, log) as container:
        check(container.launcher.wait(60) != 0, f"{image.name}: starts in plaintext by default")
        check("plaintext" in log.read_text(), f"{image.name}: does not mention plaintext: {log.read_text()}")
    if image.name == "cuda":
        with running(image, log, "--allow-plaintext", "--backend", "cuda") as container:
            check(container.launcher.wait(60) != 0, "cuda: starts with --backend cuda and without a GPU")
            check(_NO_GPU in log.read_text(), f"cuda: does not say what is missing: {log.read_text()}")
        say("cuda: with --backend cuda and no GPU it does not start, and says what is missing")
