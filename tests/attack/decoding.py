"""Attacks with files that cost much more to decode than they weigh."""

from tests.attack.files import png_of_empty_blocks, png_of_empty_chunks
from tests.attack.target import Facts, Target
from tests.service.harness import request
from tests.service.test_decode_cost import PROGRESSIVE, SEQUENTIAL, empty_scans
from tests.service.webp_bombs import code_table_bomb

SCANS = 8_000
CALLERS = 8


def sequential_scans(target: Target) -> Facts:
    """JPEG files of 8,000 empty scans, sequential."""
    return target.send_all(CALLERS, [request(empty_scans(SCANS, SEQUENTIAL), 5)])


def progressive_scans(target: Target) -> Facts:
    """JPEG files of 8,000 empty scans, progressive."""
    return target.send_all(CALLERS, [request(empty_scans(SCANS, PROGRESSIVE, (0, 0, 0)), 5)])


def empty_chunks(target: Target) -> Facts:
    """PNG files with 12 MB of empty chunks behind the pixels."""
    return target.send_all(4, [request(png_of_empty_chunks(12_000_000), 5)])


def empty_blocks(target: Target) -> Facts:
    """PNG files of 3 megapixels with as many empty deflate blocks as the server accepts."""
    return target.send_all(4, [request(png_of_empty_blocks(2000, 1500), 5)])


def code_tables(target: Target) -> Facts:
    """Lossless WebP files of one megapixel with 62,500 sets of code tables."""
    return target.send_all(CALLERS, [request(code_table_bomb(1000, 1000), 5)])
