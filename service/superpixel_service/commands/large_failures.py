"""What can go wrong with large images and stores, as failures of a command."""

from collections.abc import Iterator
from contextlib import contextmanager

import superpixel_kernels as kernels
from superpixel_service.commands.output import EXIT_FAILED, EXIT_USAGE, CommandFailed
from superpixel_service.datasets.errors import DataSetFailed
from superpixel_service.large.errors import LargeFailed


@contextmanager
def failures() -> Iterator[None]:
    """Turn what can go wrong with a large image into the command's failure."""
    try:
        yield
    except (LargeFailed, DataSetFailed) as error:
        raise CommandFailed(str(error), status=EXIT_USAGE if error.usage else EXIT_FAILED) from None
    except kernels.errors.InvalidParameter as error:
        raise CommandFailed(str(error), status=EXIT_USAGE) from None
    except kernels.errors.Cancelled:
        raise
    except kernels.errors.KernelError as error:
        raise CommandFailed(" ".join(str(error).split())) from None
