"""Converts the messages about stores."""

from superpixel_service.config import Settings
from superpixel_service.large.layout import StoreInfo
from superpixel_service.large.source import Window
from superpixel_service.large.store import StoreRegions
from superpixel_service.pb.superpixel.v1 import stores_pb2
from superpixel_service.stores.reader import MAX_REGIONS, WindowAnswer, WindowSpec


def read_window_request(request: stores_pb2.GetWindowRequest) -> WindowSpec:
    """What the request asks for; numbers are checked when the store is open."""
    window = request.window
    return WindowSpec(
        store=request.store,
        window=Window(window.x, window.y, window.width, window.height),
        scale=request.scale or 1,
        count=request.count if request.HasField("count") else None,
        include_hierarchy=request.include_hierarchy,
        include_regions=request.include_regions,
        include_image=request.include_image,
    )


def write_store(info: StoreInfo, settings: Settings) -> stores_pb2.GetStoreResponse:
    """What a store says about itself, without the address of its source."""
    return stores_pb2.GetStoreResponse(
        width=info.width,
        height=info.height,
        base_count=info.base_count,
        algorithm_version=info.algorithm_version,
        compactness=info.compactness,
        scales=info.scales,
        bands=info.bands,
        ranges=[stores_pb2.ValueRange(low=low, high=high) for low, high in info.ranges],
        source_sha256=info.source_sha256 or b"",
        crs=info.crs,
        transform=info.transform or (),
        max_window_pixels=settings.max_window_pixels,
        max_regions=MAX_REGIONS,
    )


def write_window(answer: WindowAnswer) -> bytes:
    """The serialised `GetWindowResponse`."""
    response = stores_pb2.GetWindowResponse(spx=answer.spx, count=answer.count, image_png=answer.image_png)
    return response.SerializeToString()


def write_measures(regions: StoreRegions) -> stores_pb2.MeasureRegionsResponse:
    """The measurements of regions."""
    x0, y0, x1, y1 = regions.box.T
    return stores_pb2.MeasureRegionsResponse(
        area=regions.area.tolist(),
        x0=x0.tolist(),
        y0=y0.tolist(),
        x1=x1.tolist(),
        y1=y1.tolist(),
        centroid_x=regions.centroid[:, 0].tolist(),
        centroid_y=regions.centroid[:, 1].tolist(),
        mean_rgb=regions.mean_color.tobytes(),
    )
