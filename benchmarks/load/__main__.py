"""Measure a server's curve from idle to overload, find its knee, and recommend the settings of a pod.

Without --server, this program starts a server with the settings of deploy/base, on all cores but one. Calls
come on a schedule (open loop), and a call's time counts from its due time. Each --profile except sweep is a
single run.
"""

import argparse
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import grpc

from benchmarks.load import arrivals, one_run, sweep
from benchmarks.load.arrivals import DEFAULT_MIX, Arrival, Mix
from benchmarks.load.generator import senders
from benchmarks.load.images import Files
from benchmarks.load.target import Ready, own_server
from superpixel_service.commands.output import CommandFailed
from superpixel_service.commands.remote import identity
from superpixel_service.commands.target import Target


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, print, and write the report."""
    parser = _parser()
    options = parser.parse_args(arguments)
    try:
        mix, calls = Mix.parse(options.mix), _calls(options)
    except (OSError, ValueError) as error:
        parser.error(str(error))
    sizes = mix.sizes if calls is None else tuple(dict.fromkeys(call.size for call in calls))
    files = Files(sizes, seed=os.getpid() & 0xFF)
    options.out.mkdir(parents=True, exist_ok=True)
    with _server(options) as ready:
        if calls is None:
            sweep.run(options, mix, _seconds(options), files, ready)
            return
        # A replay is as long as its file; the other profiles have a length.
        seconds = max(calls[-1].due, 1e-3) if options.profile == "replay" else _seconds(options)
        one_run.run(options.profile, calls, seconds, files, ready, options.out)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.load", description=__doc__)
    server = parser.add_argument_group("server")
    server.add_argument(
        "--server", metavar="HOST:PORT", help="measure this running server (default: start one)"
    )
    server.add_argument("--tls", action="store_true", help="connect over TLS; --ca and --cert imply it")
    server.add_argument("--ca", type=Path, metavar="FILE", help="PEM file of the trusted authorities")
    server.add_argument("--cert", type=Path, metavar="FILE", help="PEM file of the client certificate")
    server.add_argument("--key", type=Path, metavar="FILE", help="PEM file of the certificate's key")
    server.add_argument("--token-file", type=Path, metavar="FILE", help="file with the client's token")
    server.add_argument(
        "--server-cores",
        type=int,
        metavar="N",
        help="cores of the server (default: all of this machine but one; with --server, 2)",
    )
    load = parser.add_argument_group("load")
    load.add_argument(
        "--profile",
        choices=("sweep", "steady", "step", "burst", "replay"),
        default="sweep",
        help="sweep: the whole curve; steady: --rate; step: --factor times the rate from half time on; "
        "burst: --factor times the rate in the middle fifth; replay: the calls of --file "
        "(default: %(default)s)",
    )
    load.add_argument("--rate", type=float, metavar="N", help="calls per second, for steady, step and burst")
    load.add_argument(
        "--factor",
        type=float,
        default=3.0,
        metavar="N",
        help="how many times the rate, for step and burst (default: %(default)g)",
    )
    load.add_argument(
        "--file", type=Path, metavar="CSV", help="columns seconds, width and height, for replay"
    )
    load.add_argument(
        "--mix", default=DEFAULT_MIX, help="image sizes and their weights (default: %(default)s)"
    )
    load.add_argument(
        "--spacing",
        choices=("poisson", "constant"),
        default="poisson",
        help="of the calls in time (default: %(default)s)",
    )
    load.add_argument(
        "--seconds", type=float, metavar="N", help="per point of a sweep (default: 14), or of one run (60)"
    )
    load.add_argument("--seed", type=int, default=1, help="of arrivals and sizes (default: %(default)s)")
    load.add_argument(
        "--quick", action="store_true", help="a sweep of a few seconds, to check that everything works"
    )
    report = parser.add_argument_group("report")
    report.add_argument(
        "--target-ms", type=float, default=1000.0, help="limit for p99 (default: %(default)g)"
    )
    report.add_argument(
        "--pod-cores", type=int, default=2, help="cores of the recommended pod (default: %(default)s)"
    )
    report.add_argument("--out", type=Path, default=Path("build/load"), help="folder (default: %(default)s)")
    report.add_argument("--docs", action="store_true", help="also update the figures in docs/capacity.md")
    return parser


def _calls(options: argparse.Namespace) -> list[Arrival] | None:
    """Return the calls of one run; None for a sweep, which makes its own."""
    if options.profile == "sweep":
        return None
    if options.profile == "replay":
        if options.file is None:
            raise ValueError("--file: --profile replay needs one")
        return arrivals.replay(options.file)
    if options.rate is None or not options.rate > 0:
        raise ValueError(f"--rate: --profile {options.profile} needs one above 0")
    seconds = _seconds(options)
    if not (seconds > 0 and options.factor > 0):
        raise ValueError("--seconds and --factor: must be above 0")
    phases = {
        "steady": lambda: arrivals.steady(options.rate, seconds),
        "step": lambda: arrivals.step(options.rate, seconds, options.factor),
        "burst": lambda: arrivals.burst(options.rate, seconds, options.factor),
    }[options.profile]()
    return arrivals.schedule(phases, Mix.parse(options.mix), options.spacing, options.seed)


def _seconds(options: argparse.Namespace) -> float:
    default = 60.0 if options.profile != "sweep" else 2.0 if options.quick else 14.0
    return options.seconds or default


@contextmanager
def _server(options: argparse.Namespace) -> Iterator[Ready]:
    if options.server is None:
        cores = options.server_cores or max(1, len(os.sched_getaffinity(0)) - 1)
        with own_server(cores) as own, senders(own.address) as found:
            yield Ready(found, own, cores)
        return
    tls = bool(options.tls or options.ca or options.cert)
    target = Target(options.server, tls, options.ca, options.cert, options.key, options.token_file)
    try:
        credentials, token = identity(target)
    except CommandFailed as error:
        raise SystemExit(str(error)) from None
    try:
        with senders(options.server, credentials=credentials, token=token) as found:
            yield Ready(found, None, options.server_cores or 2)
    except grpc.FutureTimeoutError:
        raise SystemExit(f"{options.server}: no server answers there") from None


if __name__ == "__main__":
    main()
