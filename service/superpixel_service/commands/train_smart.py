"""`superpixel train-smart`: train the scorer of smart select on finished images."""

import json
import multiprocessing
import pickle
import random
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

import numpy as np

from superpixel_service.client.smart.learning import Lesson, fit, gather
from superpixel_service.client.smart.robot import Policy, Target, by_eye, play, scored
from superpixel_service.client.smart.scene import Scene
from superpixel_service.client.smart.scorer import VERSION, Scorer
from superpixel_service.commands.output import EXIT_OK, CommandFailed, save, say, write
from superpixel_service.commands.training_set import Finished, Objects, Pair, find_pairs, held_out, read_pair
from superpixel_service.resources import usable_cores

LEAST_IMAGES, LEAST_OBJECTS = 4, 20
HELD_OUT = 0.1
MOST_HELD_OUT = 100
"""Objects that score the result."""

ROUNDS = 3
"""Rounds of the tool's own clicks, after the first round without a scorer."""

_FIRST_CLICKS, _CLICKS = 7, 10
_EPOCHS, _LAST_EPOCHS = 5, 10
_MOST_CLICKS = 20


@dataclass(frozen=True, slots=True)
class _Job:
    """Some objects of one image, for a worker process."""

    file: Path
    objects: tuple[int, ...]
    seed: int
    scorer: Scorer | None = None
    clicks: int = 0


def run(
    *,
    images: Path,
    masks: Path,
    out: Path,
    objects: Objects,
    limit: int,
    seed: int,
    jobs: int,
    about: str,
) -> int:
    """Train, print the held-out score, and write the weights."""
    start = time.monotonic()
    pairs, notes = find_pairs(images, masks)
    say(*notes)
    if len(pairs) < LEAST_IMAGES:
        raise CommandFailed(
            f"{images}: must have at least {LEAST_IMAGES} images with a mask, has {len(pairs)}"
        )
    context = multiprocessing.get_context("spawn")
    with (
        tempfile.TemporaryDirectory(prefix="superpixel-") as folder,
        ProcessPoolExecutor(jobs or usable_cores(), mp_context=context) as pool,
    ):
        files = [Path(folder) / f"{index}.pickle" for index in range(len(pairs))]
        say(f"reading {len(pairs):,} images")
        counts = list(pool.map(_prepare, pairs, files, [objects] * len(pairs)))
        own, rest = _divide(counts, limit, seed)
        if len(own) < LEAST_OBJECTS or not rest:
            raise CommandFailed(
                f"{masks}: must have at least {LEAST_OBJECTS} objects of 0.3 % to 50 % of their image, "
                f"and one in the last tenth of the images; has {len(own)} and {len(rest)}"
            )
        say(f"training on {len(own):,} objects, scoring with {len(rest):,} of other images")
        scorer = _train(pool, files, own, seed, start)
        score = _score(pool, files, rest, scorer)
    facts = {
        "source": about,
        "images": len(pairs),
        "objects": len(own),
        "seed": seed,
        "held_out": {"objects": len(rest), **score},
    }
    save(out, _as_file(scorer, facts))
    write(
        f"held out: {len(rest)} objects, {score['clicks_to_85']} clicks to 85 %, "
        f"{score['clicks_to_90']} to 90 %; {score['overlap_of_first_click']} after one click"
    )
    write(f"{out}: {_minutes(start)}")
    return EXIT_OK


def _prepare(pair: Pair, file: Path, objects: Objects) -> int:
    finished = read_pair(pair, objects)
    file.write_bytes(pickle.dumps(finished))
    return len(finished.targets)


def _divide(
    counts: Sequence[int], limit: int, seed: int
) -> tuple[list[tuple[int, int]], list[tuple[int, int]]]:
    """(image, object) to train on, and to score with."""
    apart = set(held_out(len(counts), HELD_OUT))
    every = [(image, number) for image, count in enumerate(counts) for number in range(count)]
    mine = [each for each in every if each[0] not in apart]
    rest = [each for each in every if each[0] in apart]
    chooser = random.Random(seed)  # noqa: S311 (no secret)
    return (
        sorted(chooser.sample(mine, min(limit, len(mine)))),
        sorted(chooser.sample(rest, min(MOST_HELD_OUT, len(rest)))),
    )


def _train(
    pool: ProcessPoolExecutor, files: Sequence[Path], own: Sequence[tuple[int, int]], seed: int, start: float
) -> Scorer:
    """Select every object, fit a scorer to what that showed, and again with this scorer."""

    def lesson_of(number: int, scorer: Scorer | None, before: list[Lesson]) -> Lesson:
        jobs = _jobs(files, own, seed + 1000 * number, scorer, _CLICKS if scorer else _FIRST_CLICKS)
        parts = list(pool.map(_gather, jobs))
        lesson = Lesson.joined([*before, *(part for part, _ in parts if part is not None)])
        first = np.mean([overlap for _, overlaps in parts for overlap in overlaps])
        say(
            f"round {number + 1} of {ROUNDS + 1}: {len(lesson.rows):,} superpixels seen, "
            f"{first:.3f} after one click, {_minutes(start)}"
        )
        return lesson

    lesson = lesson_of(0, None, [])
    scorer = fit(lesson, _EPOCHS, seed)
    for number in range(1, ROUNDS + 1):
        lesson = lesson_of(number, scorer, [lesson])
        scorer = fit(lesson, _LAST_EPOCHS if number == ROUNDS else _EPOCHS, seed + number)
    return scorer


def _score(
    pool: ProcessPoolExecutor, files: Sequence[Path], rest: Sequence[tuple[int, int]], scorer: Scorer
) -> dict[str, float]:
    curves = [
        curve for part in pool.map(_play, _jobs(files, rest, 0, scorer, _MOST_CLICKS)) for curve in part
    ]
    table = np.array([curve + [curve[-1]] * (_MOST_CLICKS - len(curve)) for curve in curves])

    def clicks(target: float) -> float:
        reached = table >= target
        return round(float(np.where(reached.any(1), reached.argmax(1) + 1, _MOST_CLICKS).mean()), 2)

    return {
        "clicks_to_85": clicks(0.85),
        "clicks_to_90": clicks(0.9),
        "overlap_of_first_click": round(float(table[:, 0].mean()), 3),
    }


def _jobs(
    files: Sequence[Path], objects: Sequence[tuple[int, int]], seed: int, scorer: Scorer | None, clicks: int
) -> Iterator[_Job]:
    for image, mine in groupby(objects, key=lambda each: each[0]):
        yield _Job(files[image], tuple(number for _, number in mine), seed + image, scorer, clicks)


def _gather(job: _Job) -> tuple[Lesson | None, list[float]]:
    """The lessons of one image, and the overlap of each object after its first click."""
    rng = np.random.default_rng(job.seed)
    policy: Policy = scored(job.scorer) if job.scorer else by_eye(rng)
    scene, targets = _read(job)
    lessons, first = [], []
    for number in job.objects:
        lesson, overlaps = gather(scene, targets[number], policy, job.clicks, rng)
        if lesson is not None:
            lessons.append(lesson)
        first += overlaps[:1]
    return (Lesson.joined(lessons) if lessons else None), first


def _play(job: _Job) -> list[list[float]]:
    if job.scorer is None:
        raise ValueError("a job without a scorer")
    rng = np.random.default_rng(job.seed)
    scene, targets = _read(job)
    policy = scored(job.scorer)
    return [
        play(scene, targets[number], policy, job.clicks, jitter=0.0, rng=rng) or [0.0]
        for number in job.objects
    ]


def _read(job: _Job) -> tuple[Scene, list[Target]]:
    finished: Finished = pickle.loads(job.file.read_bytes())  # noqa: S301 (this command wrote it)
    return finished.scene, finished.targets


def _as_file(scorer: Scorer, about: dict[str, object]) -> bytes:
    data = {
        "format": "superpixel-smart-weights",
        "version": VERSION,
        "about": about,
        "bias": scorer.bias,
        "layers": [
            {"weights": weights.tolist(), "biases": biases.tolist()} for weights, biases in scorer.layers
        ],
    }
    return json.dumps(data, separators=(",", ":")).encode() + b"\n"


def _minutes(start: float) -> str:
    return f"{(time.monotonic() - start) / 60:.1f} min"
