"""How much of the limits one token uses: no token may take all the room."""

from dataclasses import dataclass

from superpixel_service.config import TOKEN_SHARE, Settings
from superpixel_service.work.caller import Caller


@dataclass(slots=True)
class _InFlight:
    images: int = 0
    pixels: int = 0
    byte_count: int = 0


class TokenShares:
    """Pixels and bytes in flight of each token. Not locked: the admission queue's lock guards it."""

    def __init__(self, settings: Settings) -> None:
        self._max_pixels = TOKEN_SHARE * settings.max_inflight_pixels
        self._max_bytes = TOKEN_SHARE * settings.max_inflight_bytes
        self._used: dict[str, _InFlight] = {}

    def count(self, caller: Caller, pixels: int, byte_count: int, sign: int) -> None:
        """Add an image in flight, or remove it if `sign` is -1."""
        used = self._used.setdefault(caller.name, _InFlight())
        used.images += sign
        used.pixels += sign * pixels
        used.byte_count += sign * byte_count
        if used.images == 0:
            del self._used[caller.name]

    def pixels(self, caller: Caller) -> int:
        """Pixels in flight of the caller."""
        used = self._used.get(caller.name)
        return 0 if used is None else used.pixels

    def exceeded(self, caller: Caller, pixels: int, byte_count: int) -> str | None:
        """The setting that one more image of the caller would exceed its share of; None: there is room.

        One image of a token may always be in flight. Without tokens there are no shares.
        """
        used = self._used.get(caller.name)
        if not caller.token or used is None:
            return None
        if used.pixels + pixels > self._max_pixels:
            return "max_inflight_pixels"
        return "max_inflight_bytes" if used.byte_count + byte_count > self._max_bytes else None
