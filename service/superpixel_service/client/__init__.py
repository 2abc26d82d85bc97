"""Clients of the service: `Client` for blocking code, `AsyncClient` for asyncio. They do the same.

```
with Client("127.0.0.1:50051") as client:
    result = client.segment("photo.jpg", counts=[100, 400, 1600])
    result.labels_at(400)                   # (height, width) int32; any count up to 1600

    for name, outcome in client.segment_many(((path, path) for path in paths), counts=1600):
        if isinstance(outcome, SegmentError):
            print(name, outcome)            # this image only; the others continue
        else:
            name.with_suffix(".spx").write_bytes(outcome.spx)
```

Every call has a deadline. Until then it is retried if the contract says that a retry helps (`RetryPolicy`).
docs/clients.md shows the same calls from other languages. `superpixel_service.client.exports` writes a
person's selection of superpixels in the formats of other tools. `snap_mask` turns a rough mask into whole
superpixels of an answer.
"""

from superpixel_kernels.codec import snap_mask
from superpixel_service.client.aio import AsyncClient
from superpixel_service.client.errors import (
    Cancelled,
    DeadlineExceeded,
    InvalidImage,
    InvalidRequest,
    MessageTooLarge,
    NotAllowed,
    NotServed,
    Overloaded,
    SegmentError,
    ServerError,
    StoreUnusable,
    Unavailable,
    VersionUnavailable,
)
from superpixel_service.client.guidance import Guidance, PriorSource
from superpixel_service.client.map_sources import MapSource
from superpixel_service.client.retry import RetryPolicy
from superpixel_service.client.security import tls_credentials
from superpixel_service.client.segmentation import Notice, Segmentation, ServerInfo
from superpixel_service.client.stores import StoreDescription, StoreMeasures, StoreWindow
from superpixel_service.client.sync import Client
from superpixel_service.client.wanted import Wanted
from superpixel_service.client.wire import ImageSource

__all__ = [
    "AsyncClient",
    "Cancelled",
    "Client",
    "DeadlineExceeded",
    "Guidance",
    "ImageSource",
    "InvalidImage",
    "InvalidRequest",
    "MapSource",
    "MessageTooLarge",
    "NotAllowed",
    "NotServed",
    "Notice",
    "Overloaded",
    "PriorSource",
    "RetryPolicy",
    "SegmentError",
    "Segmentation",
    "ServerError",
    "ServerInfo",
    "StoreDescription",
    "StoreMeasures",
    "StoreUnusable",
    "StoreWindow",
    "Unavailable",
    "VersionUnavailable",
    "Wanted",
    "snap_mask",
    "tls_credentials",
]
