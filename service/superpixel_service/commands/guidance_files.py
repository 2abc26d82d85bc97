"""The maps of guidance that a command's arguments name, per image."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from superpixel_service.commands.output import EXIT_USAGE, CommandFailed
from superpixel_service.datasets.names import map_suffixes

if TYPE_CHECKING:  # it loads gRPC, which not every command needs
    from superpixel_service.client import Guidance


@dataclass(frozen=True, slots=True)
class GuidanceFiles:
    """Where the maps are, and their parameters.

    Attributes:
        edges, prior, importance: a file; or a folder that holds a map per image, under the image's path; or
            None.
        prior_count: the level of a prior map that is an .spx label map; 0: the finest.
        images: the folder of the images; None: the maps are files, for a single image.
    """

    edges: Path | None
    prior: Path | None
    importance: Path | None
    edge_weight: int
    prior_mode: Literal["soft", "hard"]
    prior_weight: int
    prior_count: int = 0
    images: Path | None = None

    def of(self, image: Path) -> "Guidance":
        """The guidance of an image. The files are read when the request is built.

        Raises:
            superpixel_service.client.InvalidRequest: there is no map for the image; the text lists the paths.
        """
        from superpixel_service.client import Guidance

        maps: dict[str, Any] = {}
        for name, (path, tried) in self._find(image).items():
            if path is None:
                raise _no_map(name, tried)
            maps[name] = path
        return Guidance(**maps, **self.options())

    def options(self) -> dict[str, Any]:
        """The keywords of `client.Guidance` besides the maps."""
        return {
            "edge_weight": self.edge_weight,
            "prior_mode": self.prior_mode,
            "prior_weight": self.prior_weight,
            "prior_count": self.prior_count,
        }

    def files(self, image: Path) -> dict[str, Path]:
        """The map files of an image, by the map's name. Missing ones are left out."""
        return {name: path for name, (path, _) in self._find(image).items() if path is not None}

    def record(self) -> dict[str, object]:
        """What label maps depend on besides the map files: which maps there are, weights and mode."""
        record: dict[str, object] = {}
        if self.edges is not None:
            record["edge_weight"] = self.edge_weight
        if self.prior is not None:
            record["prior_mode"] = self.prior_mode
            if self.prior_mode == "soft":
                record["prior_weight"] = self.prior_weight
            if self.prior_count:
                record["prior_count"] = self.prior_count
        if self.importance is not None:
            record["importance"] = True
        return record

    def check(self) -> None:
        """Check that the files and folders exist.

        Raises:
            CommandFailed: one does not.
        """
        for name, path in self._given().items():
            wrong = not path.exists() or (self.images is None and path.is_dir())
            if wrong:
                problem = "is a folder, not a file" if path.exists() else "no such file or folder"
                raise CommandFailed(f"--{name}: {path}: {problem}", status=EXIT_USAGE)

    def _given(self) -> dict[str, Path]:
        paths = {"edges": self.edges, "prior": self.prior, "importance": self.importance}
        return {name: path for name, path in paths.items() if path is not None}

    def _find(self, image: Path) -> dict[str, tuple[Path | None, list[Path]]]:
        """By the map's name: its file, or None; and the paths that were tried."""
        found = {}
        for name, path in self._given().items():
            tried = [path]
            if self.images is not None and path.is_dir():
                # The whole name comes first: a.jpg and a.png can be in one folder.
                beside = path / image.relative_to(self.images)
                stems, suffixes = (beside.name, beside.stem), map_suffixes(name)
                names = [f"{stem}{suffix}" for stem in stems for suffix in suffixes]
                tried = list(dict.fromkeys(beside.with_name(each) for each in names))
            found[name] = next((each for each in tried if each.is_file()), None), tried
        return found


def _no_map(name: str, tried: list[Path]) -> Exception:
    import grpc

    from superpixel_service.client import InvalidRequest
    from superpixel_service.contract import Reason

    paths = ", ".join(map(str, tried))
    return InvalidRequest(
        grpc.StatusCode.INVALID_ARGUMENT,
        f"there is no map for this image: none of {paths} exists"
        if len(tried) > 1
        else f"{paths} is no file",
        reason=Reason.GUIDANCE_MAP_MISSING.value,
        field=f"guidance.{name}",
        metadata={"map": name},
    )
