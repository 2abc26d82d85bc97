"""The application: one client and one pool of database connections for its life."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI
from fastapi.concurrency import run_in_threadpool

from superpixel_service.client import AsyncClient, RetryPolicy, tls_credentials
from superpixel_service.client.security import read_token

from . import images, problems, selections
from .bodies import Uploads
from .context import Context, SameSite
from .database import check_schema, open_engine
from .settings import Settings
from .store import Store


def build(settings: Settings) -> FastAPI:
    """Make the application. It raises SchemaOutdated at its start if the database is not migrated."""

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[dict[str, Context]]:
        engine = open_engine(settings.database_url)
        try:
            await run_in_threadpool(check_schema, engine)
            async with _open_client(settings) as client:
                context = Context(
                    settings=settings,
                    client=client,
                    store=Store(engine),
                    uploads=Uploads(settings),
                    segmenting=asyncio.Semaphore(settings.max_segmenting),
                    reading=asyncio.Semaphore(settings.max_reading),
                )
                yield {"context": context}
        finally:
            engine.dispose()

    app = FastAPI(title="Annotation backend", lifespan=lifespan, dependencies=[SameSite])
    for router in (images.router, selections.router, selections.masks):
        app.include_router(router)
    problems.install(app)
    return app


def _open_client(settings: Settings) -> AsyncClient:
    ca, token = settings.superpixel_ca_file, settings.superpixel_token_file
    return AsyncClient(
        settings.superpixel_server,
        timeout=settings.superpixel_timeout,
        retry=RetryPolicy(max_attempts=settings.superpixel_attempts),
        credentials=None if ca is None else tls_credentials(ca),
        token=None if token is None else read_token(token),
    )
