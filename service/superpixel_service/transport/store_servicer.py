"""The methods of `superpixel.v1.StoreService`."""

import grpc

from superpixel_service.config import Settings
from superpixel_service.contract import (
    CACHE_KEY,
    GET_STORE,
    GET_WINDOW,
    MEASURE_REGIONS,
    REQUEST_ID_KEY,
    STORE_SERVICE,
)
from superpixel_service.errors import DeadlinePassed
from superpixel_service.pb.superpixel.v1 import stores_pb2, stores_pb2_grpc
from superpixel_service.stores.call import StoreCall
from superpixel_service.stores.names import check_name
from superpixel_service.stores.reader import StoreReader
from superpixel_service.transport import convert_stores as convert
from superpixel_service.transport.call import CURRENT, permit_of_call
from superpixel_service.transport.gate import Limit


def limits(settings: Settings) -> dict[str, Limit]:
    """The gate's limits of the methods."""
    limit = Limit(
        "stores",
        settings.max_store_calls,
        is_work=True,
        small=True,
        calls_per_token=settings.token_store_calls,
        token_limit="max_store_calls",  # noqa: S106 (a setting's name)
    )
    return dict.fromkeys((GET_STORE, GET_WINDOW, MEASURE_REGIONS), limit)


def add_to(server: grpc.Server, settings: Settings, reader: StoreReader) -> tuple[str, ...]:
    """Serve stores on `server`, whose gate has these `limits`; returns the name of the service."""
    stores_pb2_grpc.add_StoreServiceServicer_to_server(StoreServicer(settings, reader), server)
    return (STORE_SERVICE,)


class StoreServicer(stores_pb2_grpc.StoreServiceServicer):
    """Reads stores on the threads of the calls. It raises errors; the interceptors send them."""

    def __init__(self, settings: Settings, reader: StoreReader) -> None:
        self._settings = settings
        self._reader = reader

    def GetStore(  # noqa: N802
        self, request: stores_pb2.GetStoreRequest, context: grpc.ServicerContext
    ) -> stores_pb2.GetStoreResponse:
        """What a store says about itself."""
        return convert.write_store(self._reader.info(_begin(request.store, context)), self._settings)

    def GetWindow(self, request: stores_pb2.GetWindowRequest, context: grpc.ServicerContext) -> bytes:  # type: ignore[override]  # noqa: N802
        """A window of a store."""
        call = CURRENT.get()
        work = _begin(request.store, context)
        answer = self._reader.window(convert.read_window_request(request), work, call.tenant.token)
        message = convert.write_window(answer)
        permit_of_call().keep_answer(len(message))
        cache = "" if work.cache is None else work.cache.value
        context.set_trailing_metadata(((REQUEST_ID_KEY, call.request_id), (CACHE_KEY, cache)))
        return message

    def MeasureRegions(  # noqa: N802
        self, request: stores_pb2.MeasureRegionsRequest, context: grpc.ServicerContext
    ) -> stores_pb2.MeasureRegionsResponse:
        """Measure regions of a store."""
        return convert.write_measures(self._reader.measure(request.ids, _begin(request.store, context)))


def _begin(name: str, context: grpc.ServicerContext) -> StoreCall:
    call = CURRENT.get()
    context.set_trailing_metadata(((REQUEST_ID_KEY, call.request_id),))

    def check() -> None:
        if call.deadline.passed():
            raise DeadlinePassed
        if not context.is_active():
            raise call.deadline.why_ended()

    call.store = StoreCall(check_name(name), check)
    return call.store
