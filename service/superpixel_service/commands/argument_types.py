"""The types of the command's arguments: each checks a text and converts it."""

import argparse

from superpixel_kernels.guidance import MAX_EDGE_WEIGHT, MAX_PRIOR_WEIGHT
from superpixel_kernels.params import MAX_COMPACTNESS
from superpixel_service.addresses import check_target, split_address
from superpixel_service.targets import MAX_TARGETS


class Targets(argparse.Action):
    """A list of counts or areas that one request can carry."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: object,
        option_string: str | None = None,
    ) -> None:
        """Store the distinct values, increasing."""
        assert isinstance(values, list)  # noqa: S101 (nargs="+")
        if len(set(values)) > MAX_TARGETS:
            parser.error(
                f"argument {option_string}: at most {MAX_TARGETS} {self.dest}, got {len(set(values))}"
            )
        setattr(namespace, self.dest, tuple(sorted(set(values))))


def positive(text: str) -> int:
    """A count."""
    if not (text.isascii() and text.isdecimal() and 1 <= int(text) < 1 << 31):
        raise argparse.ArgumentTypeError(f"must be a whole number, at least 1; got {text!r}")
    return int(text)


def coordinate(text: str) -> int:
    """A coordinate or a length of a region."""
    if not (text.isascii() and text.isdecimal() and int(text) < 1 << 31):
        raise argparse.ArgumentTypeError(f"must be a whole number, at least 0; got {text!r}")
    return int(text)


def area(text: str) -> float:
    """An average size, in pixels."""
    return _number(text, 1, 1 << 31)


def patience(text: str) -> float:
    """A number of seconds that may be 0."""
    return _number(text, 0, 86_400)


def seconds(text: str) -> float:
    """A number of seconds above 0."""
    return _number(text, 0.001, 3600)


def gpus(text: str) -> float:
    """A number of GPUs, or a part of one."""
    return _number(text, 0, 1024)


def compactness(text: str) -> float:
    """A compactness."""
    return _number(text, 0, MAX_COMPACTNESS)


def edge_weight(text: str) -> int:
    """The weight of an edge map."""
    return _whole(text, MAX_EDGE_WEIGHT)


def prior_weight(text: str) -> int:
    """The weight of a prior map."""
    return _whole(text, MAX_PRIOR_WEIGHT)


def _whole(text: str, most: int) -> int:
    if not (text.isascii() and text.isdecimal() and int(text) <= most):
        raise argparse.ArgumentTypeError(f"must be a whole number from 0 to {most}; got {text!r}")
    return int(text)


def _number(text: str, least: float, most: float) -> float:
    try:
        value = float(text)
    except ValueError:
        value = float("nan")
    if not least <= value <= most:  # in this form NaN fails too
        raise argparse.ArgumentTypeError(f"must be a number from {least:g} to {most:g}; got {text!r}")
    return value


def address(text: str) -> str:
    """HOST:PORT."""
    try:
        split_address(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{error}; got {text!r}") from None
    return text


def target(text: str) -> str:
    """HOST:PORT, or one of gRPC's names: unix:PATH, dns:///NAME:PORT, ipv4:HOST:PORT,HOST:PORT."""
    try:
        check_target(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{error}; got {text!r}") from None
    return text
