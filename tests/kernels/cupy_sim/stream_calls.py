"""The fake CUDA runtime: streams, events, graphs."""

from ctypes import c_float, c_int, c_long, c_uint, c_void_p

from tests.kernels.cupy_sim.calls import Calls, export, store
from tests.kernels.cupy_sim.errors import Code, Failure
from tests.kernels.cupy_sim.gpu import Event, Graph, Stream

_DISABLE_TIMING = 2
_NON_BLOCKING = 1


class StreamCalls(Calls):
    """The functions of streams, events and graphs."""

    # --- streams and events -----------------------------------------------------------------------------

    def _stream(self, handle: int | None) -> Stream:
        handle = handle if handle not in (None, 1, 2) else 0
        for gpu in (self.gpu, *self.gpus):
            if handle in gpu.streams:
                return gpu.streams[handle]
        raise Failure(Code.INVALID_HANDLE)

    def _wait_for(self, stream: Stream) -> None:
        if stream.captured is not None:
            stream.invalid = True
            raise Failure(Code.CAPTURE_UNSUPPORTED, "waiting for a stream that captures")
        stream.finish()
        if stream.gpu.lost is not None:
            raise Failure(stream.gpu.lost)

    @export("cudaStreamCreate", types=(c_void_p,))
    def _new_stream(self, to: int) -> None:
        store(c_void_p, to, self.gpu.new_stream(blocking=True).handle)

    @export("cudaStreamCreateWithFlags", types=(c_void_p, c_uint))
    def _new_stream_with(self, to: int, flags: int) -> None:
        store(c_void_p, to, self.gpu.new_stream(blocking=not flags & _NON_BLOCKING).handle)

    @export("cudaStreamCreateWithPriority", types=(c_void_p, c_uint, c_int))
    def _new_stream_with_priority(self, to: int, flags: int, _priority: int) -> None:
        self._new_stream_with(to, flags)

    @export("cudaStreamGetFlags", types=(c_void_p, c_void_p))
    def _flags(self, handle: int | None, to: int) -> None:
        store(c_uint, to, 0 if self._stream(handle).blocking else _NON_BLOCKING)

    @export("cudaStreamGetPriority", types=(c_void_p, c_void_p))
    def _priority(self, _handle: int | None, to: int) -> None:
        store(c_int, to, 0)

    @export("cudaStreamDestroy", types=(c_void_p,))
    def _destroy_stream(self, handle: int) -> None:
        stream = self._stream(handle)
        stream.finish()
        del stream.gpu.streams[handle]

    @export("cudaStreamSynchronize", types=(c_void_p,))
    def _wait_for_stream(self, handle: int | None) -> None:
        self._wait_for(self._stream(handle))

    @export("cudaStreamQuery", types=(c_void_p,))
    def _is_stream_done(self, handle: int | None) -> int:
        return Code.NOT_READY if self._stream(handle).queue else Code.SUCCESS

    @export("cudaStreamWaitEvent", types=(c_void_p, c_void_p, c_uint))
    def _wait_in_stream(self, handle: int | None, event: int, _flags: int) -> None:
        stream, waited = self._stream(handle), self._events[event]
        if waited.captured_in is not stream.captured:
            stream.invalid = stream.captured is not None
            raise Failure(Code.CAPTURE_ISOLATION)
        if (ticket := waited.ticket) is not None and stream.captured is None:
            stream.put(lambda: ticket.stream.finish(ticket))

    @export("cudaEventCreate", types=(c_void_p,))
    def _new_event(self, to: int) -> None:
        self._new_event_with(to, 0)

    @export("cudaEventCreateWithFlags", types=(c_void_p, c_uint))
    def _new_event_with(self, to: int, flags: int) -> None:
        event = Event(not flags & _DISABLE_TIMING)
        self._events[event.handle] = event
        store(c_void_p, to, event.handle)

    @export("cudaEventDestroy", types=(c_void_p,))
    def _destroy_event(self, event: int) -> None:
        del self._events[event]

    @export("cudaEventRecord", types=(c_void_p, c_void_p))
    def _record(self, event: int, handle: int | None) -> None:
        stream = self._stream(handle)
        self._events[event].captured_in = stream.captured
        self._events[event].ticket = stream.put(lambda: None)

    @export("cudaEventSynchronize", types=(c_void_p,))
    def _wait_for_event(self, event: int) -> None:
        waited = self._events[event]
        if waited.captured_in is not None:
            raise Failure(Code.CAPTURED_EVENT)
        if waited.ticket is not None:
            waited.ticket.stream.finish(waited.ticket)

    @export("cudaEventQuery", types=(c_void_p,))
    def _is_event_done(self, event: int) -> int:
        ticket = self._events[event].ticket
        return Code.SUCCESS if ticket is None or ticket.done else Code.NOT_READY

    @export("cudaEventElapsedTime", types=(c_void_p, c_void_p, c_void_p))
    def _elapsed(self, to: int, start: int, end: int) -> None:
        first, last = self._events[start], self._events[end]
        if not (first.timed and last.timed) or first.ticket is None or last.ticket is None:
            raise Failure(Code.INVALID_HANDLE)
        if not (first.ticket.done and last.ticket.done):
            raise Failure(Code.NOT_READY)
        store(c_float, to, 1e3 * (last.ticket.time - first.ticket.time))

    # --- graphs -----------------------------------------------------------------------------------------

    @export("cudaStreamBeginCapture", types=(c_void_p, c_int))
    def _begin_capture(self, handle: int | None, _mode: int) -> None:
        stream = self._stream(handle)
        if stream.handle == 0 or stream.captured is not None:
            raise Failure(Code.CAPTURE_UNSUPPORTED)
        stream.captured, stream.invalid = Graph(), False

    @export("cudaStreamEndCapture", types=(c_void_p, c_void_p))
    def _end_capture(self, handle: int | None, to: int) -> None:
        stream = self._stream(handle)
        graph, stream.captured = stream.captured, None
        store(c_void_p, to, None)
        if graph is None:
            raise Failure(Code.CAPTURE_UNMATCHED)
        if stream.invalid:
            raise Failure(Code.CAPTURE_INVALIDATED)
        self._graphs[graph.handle] = graph
        store(c_void_p, to, graph.handle)

    @export("cudaStreamIsCapturing", types=(c_void_p, c_void_p))
    def _is_capturing(self, handle: int | None, to: int) -> None:
        stream = self._stream(handle)
        store(c_int, to, 0 if stream.captured is None else 2 if stream.invalid else 1)

    @export("cudaGraphInstantiate", types=(c_void_p, c_void_p, c_long))
    def _instantiate(self, to: int, handle: int, _flags: int) -> None:
        graph = Graph(list(self._graphs[handle].works))
        self._graphs[graph.handle] = graph
        store(c_void_p, to, graph.handle)

    @export("cudaGraphDestroy", "cudaGraphExecDestroy", types=(c_void_p,))
    def _destroy_graph(self, handle: int) -> None:
        del self._graphs[handle]

    @export("cudaGraphUpload", types=(c_void_p, c_void_p))
    def _upload_graph(self, handle: int, _stream: int | None) -> None:
        if handle not in self._graphs:
            raise Failure(Code.INVALID_HANDLE)

    @export("cudaGraphLaunch", types=(c_void_p, c_void_p))
    def _launch_graph(self, handle: int, stream: int | None) -> None:
        for work in self._graphs[handle].works:
            self._stream(stream).put(work)
