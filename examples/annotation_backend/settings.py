"""The backend's settings, from environment variables."""

from pathlib import Path

from pydantic import Field
from pydantic_settings import BaseSettings


class Settings(BaseSettings):
    """Each field is read from the environment variable of the same name in capitals."""

    database_url: str = Field(default="sqlite:///annotations.db", description="SQLite or PostgreSQL")
    bind: str = Field(default="127.0.0.1", description="address to listen on")
    port: int = Field(default=8000, description="port to listen on; 0: a free one")
    allowed_hosts: list[str] = Field(
        default=["127.0.0.1", "localhost", "[::1]"],
        description="host names under which browsers may call (JSON list)",
    )
    superpixel_server: str = Field(default="127.0.0.1:50051", description="the service's address")
    superpixel_ca_file: Path | None = Field(
        default=None, description="PEM file of its authority; turns TLS on"
    )
    superpixel_token_file: Path | None = Field(default=None, description="file with the token for it")
    superpixel_timeout: float = Field(
        default=30.0, gt=0, description="seconds per segmentation, retries included"
    )
    superpixel_attempts: int = Field(default=6, ge=1, description="most tries of one segmentation")
    average_area: float = Field(default=64.0, description="average size of the finest superpixels, in pixels")
    max_image_bytes: int = Field(
        default=64 << 20, ge=1, description="largest upload; the service's own limit also applies"
    )
    max_selection_bytes: int = Field(default=8 << 20, ge=1, description="largest selection")
    max_uploads: int = Field(default=32, ge=1, description="uploads on disk at the same time; more get 503")
    max_segmenting: int = Field(
        default=4, ge=1, description="images in memory for the service at the same time; more wait"
    )
    max_reading: int = Field(
        default=4, ge=1, description="stored images and maps in memory at the same time; more wait"
    )
    upload_idle_seconds: float = Field(default=10.0, gt=0, description="longest pause within an upload")
    upload_seconds: float = Field(default=300.0, gt=0, description="longest upload")
