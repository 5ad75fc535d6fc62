"""`spectroscope profile`: read, check, measure, write; the whole result appears at once, or nothing does."""

import os
import shutil
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import pandas as pd

from spectroscope import __version__
from spectroscope.pipeline import io, machine
from spectroscope.pipeline.progress import quiet
from spectroscope.profile import images, measure, networks, page, preflight
from spectroscope.profile import plan as planning
from spectroscope.profile.network import Network, Options
from spectroscope.profile.preflight import FEWEST
from spectroscope.profile.summary import Profile, cut_short, sentences

RESULT = "profile.json"
OVERHEAD = 6.0  # seconds that the page takes, out of the time that is given
CHANGE_OF_LINE = 2.0  # seconds between reports where stderr is no terminal


def profile(  # as many arguments as the command has
    specs: Sequence[str],
    where: str,
    out: Path,
    n_images: int,
    minutes: float,
    seed: int,
    options: Options,
    began: float,
) -> list[str]:
    """Profiles the networks `specs` on the images of `where`; returns what to know of them.

    began: by the monotonic clock; `minutes` count from there. out: a new or empty folder, or one of an earlier profile,
    which is replaced. ValueError in one sentence for anything that cannot be read or does not fit, before anything is
    written.
    """
    if minutes <= 0:
        raise ValueError(f"--minutes: expected more than 0, got {minutes:g}")
    if n_images < FEWEST:
        raise ValueError(f"--images: expected at least {FEWEST}, got {n_images}")
    check_folder(out)
    chosen = images.choose(where, n_images, seed)
    found = len(chosen.encoded if chosen.encoded is not None else chosen.array)  # type: ignore[arg-type]
    if found < FEWEST:
        raise ValueError(f"{where}: expected at least {FEWEST} images, as many as bands, got {found}")
    read = _different([networks.read(*pair) for pair in zip(specs, _each(options, len(specs)), strict=True)])
    profiles: list[Profile] = []
    report = Report(began + minutes * 60)
    try:
        prepared = []
        for network in read:  # all of them before the first is measured: a fault of the last costs no work
            report.say(f"{network.name}: checking how it is set up", 0.0)
            prepared.append(preflight.prepare(network, chosen, options, minutes * 60 / len(read)))
            for finding in (each for each in prepared[-1].findings if each.level == "warning"):
                report.tell(f"{network.name}, {finding.check}: {finding.text}")
        for number, ready in enumerate(prepared):
            left = max(1.0, began + minutes * 60 - OVERHEAD - time.monotonic()) / (len(read) - number)
            profiles.append(Profile(ready, planning.plan(ready, left)))
            measured(profiles[-1], left, report)
    except KeyboardInterrupt:
        if not any(each.tables for each in profiles):
            raise
        profiles[-1].missing.append(f"{profiles[-1].name}: stopped by the user; what was finished is shown.")
    profiles = [each for each in profiles if each.tables]
    report.say("writing the page", 1.0)
    with whole_folder(out) as folder:
        io.write_text(folder / "index.html", page.render(profiles))
        for name in dict.fromkeys(name for each in profiles for name in each.tables):
            io.write_table(folder / f"{name}.csv", _front(page.stacked(profiles, name)))
        content = {
            "networks": [facts(each, spec) for each, spec in zip(profiles, specs, strict=False)],
            "images": {"source": str(Path(where).resolve()) if Path(where).exists() else where, "seed": seed},
            "dataset": chosen.dataset,
            "made_by": {"spectroscope": __version__, **machine.describe()},
            "seconds": time.monotonic() - began,
        }
        io.write_json(folder / RESULT, content)
    report.end()
    return [text for each in profiles for text in sentences(each)]


def measured(profile: Profile, seconds: float, report: "Report") -> None:
    """Every measurement in its share of the time; an interrupt leaves those that are finished."""
    ready, plan, name = profile.ready, profile.plan, profile.name
    profile.tables["power"] = measure.power(ready)
    began = time.monotonic()

    def until(measurement: str) -> float:
        """Seconds that it may take, what the ones before it left over included."""
        names = list(plan.shares)
        share = sum(plan.shares[each] for each in names[: names.index(measurement) + 1])
        return max(1.0, began + share * seconds - time.monotonic())

    def told(task: str) -> Callable[[float], None]:
        return lambda share: report.say(f"{name}: {task}", share)

    def make(kind: str, seconds: float) -> None:
        try:
            if kind == "attacks":
                profile.tables[kind] = measure.attacks(ready, profile.plan, seconds, told("confined attacks"))
            elif kind == "heat map":
                found = measure.heat_map(ready, profile.plan, seconds, told("Fourier heat map"))
                profile.heat_map, profile.tables["heat_map"] = found
            else:
                profile.tables |= measure.layers(ready, seconds, told("spectra by layer"))
        except (ValueError, RuntimeError) as error:  # the other measurements stand without it
            why = str(error).splitlines()[0][:160]
            profile.missing.append(f"{name}: {planning.SHOWN[kind]} were left out ({why}).")

    any_right = bool((ready.logits.argmax(1) == ready.labels).any())
    if not any_right:  # no time is enough
        dropped = {kind: needed for kind, needed in plan.dropped.items() if kind != "attacks"}
        profile.plan = plan = replace(plan, dropped=dropped)
    with quiet():
        profile.tables |= measure.reliance(ready, plan, until("reliance"), told("reliance by band"))
        for kind in (each for each in plan.shares if each != "reliance"):
            if kind != "attacks" or any_right:
                make(kind, until(kind))
        while more := planning.with_more(ready.pixels.shape, profile.plan, left := began + seconds - time.monotonic()):
            kind, profile.plan = more
            make(kind, left)
    if not ready.network.gradient or not any_right:
        why = "it has no gradient" if not ready.network.gradient else "no image is right"
        profile.missing.append(f"{name}: confined attacks were left out, since {why}.")
    if not ready.network.gradient:
        profile.missing.append(
            f"{name}: {planning.SHOWN['layers']} were left out, since its layers cannot be read from outside."
        )
    for kind, needed in profile.plan.dropped.items():
        why = f"for lack of time ({planning.LEAST} images take about {needed:.0f} s)"
        profile.missing.append(f"{name}: {planning.SHOWN[kind]} were left out {why}.")


def facts(profile: Profile, spec: str) -> dict[str, Any]:
    """What `profile.json` says of a network."""
    ready, plan = profile.ready, profile.plan
    name, mean, std = ready.normalisation
    accuracy, among = profile.accuracy, profile.accuracy_among
    run = ready.network.run
    return {
        "name": profile.name,
        "model": spec,
        "kind": ready.network.kind,
        "n_images": len(ready.pixels),
        "outputs": ready.logits.shape[1],
        "labelled": ready.labelled,
        "accuracy": _interval(accuracy),
        "accuracy_among_classes_of_images": _interval(among),
        "normalisation": {"name": name, "mean": list(mean), "std": list(std)},
        "size": list(ready.pixels.shape[1:]),
        "cutoff_shell": ready.cutoff,
        "findings": [{"check": f.check, "level": f.level, "text": f.text} for f in ready.findings],
        "sentences": sentences(profile),
        "left_out": [*cut_short(profile), *profile.missing],
        "plan": {"bands": plan.bands, "steps": plan.steps, "seconds_of_a_forward_pass": plan.forward},
        "run": None if run is None else {**run, "mean": list(mean), "std": list(std)},
    }


def _interval(found: tuple[float, float, float] | None) -> dict[str, float | None] | None:
    if found is None:
        return None
    return {key: None if value != value else value for key, value in zip(("mean", "low", "high"), found, strict=True)}


def _front(table: pd.DataFrame) -> pd.DataFrame:
    return table[["run", *(column for column in table if column != "run")]]


def _each(options: Options, n: int) -> list[Options]:
    """Options of each of n networks: their architectures are separated by commas, or one is that of all."""
    names = options.architecture.split(",") if options.architecture else [None]
    if len(names) not in (1, n):
        raise ValueError(f"--architecture: expected one name, or {n} separated by commas, got {len(names)}")
    return [replace(options, architecture=name) for name in (names * n if len(names) == 1 else names)]


def _different(read: list[Network]) -> list[Network]:
    """Networks whose names differ: the second of a name is `name-2`."""
    seen: dict[str, int] = {}
    named = []
    for network in read:
        seen[network.name] = seen.get(network.name, 0) + 1
        number = seen[network.name]
        named.append(network if number == 1 else replace(network, name=f"{network.name}-{number}"))
    return named


def check_folder(out: Path) -> None:
    """ValueError unless a profile can be written there: a new or empty folder, or an earlier profile."""
    if out.exists() and not out.is_dir():
        raise ValueError(f"{out}: expected a folder, got a file")
    if out.resolve() == Path.cwd():  # it is replaced as a whole, which would leave a shell in a folder that is gone
        raise ValueError(f"{out}: expected a folder other than the current one: name one in it")
    if out.is_dir() and any(out.iterdir()) and not (out / RESULT).is_file():
        raise ValueError(
            f"{out}: expected a new or empty folder, or one of an earlier profile, got one with other files"
        )
    above = next(folder for folder in (out.absolute(), *out.absolute().parents) if folder.exists())
    try:  # permissions do not tell of a file system that takes no files
        Path(mkdtemp(dir=out.absolute().parent if out.exists() else above)).rmdir()
    except OSError as error:
        reason = (error.strerror or "an error").lower()
        raise ValueError(
            f"{out}: expected a folder that can be written, got {reason!r}: choose another --out"
        ) from None


@contextmanager
def whole_folder(out: Path) -> Iterator[Path]:
    """A temporary folder beside `out`, which takes its place when the block ends well and is removed when it raises."""
    out = out.absolute()
    out.parent.mkdir(parents=True, exist_ok=True)
    temporary, former = (out.with_name(f".{out.name}.{os.getpid()}.{end}") for end in ("part", "old"))
    temporary.mkdir()
    try:
        yield temporary
        if out.exists():
            out.rename(former)
        temporary.rename(out)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
        shutil.rmtree(former, ignore_errors=True)


class Report:
    """One line on stderr for the whole work: what is done now, and the time that is left."""

    def __init__(self, end: float) -> None:
        self._end, self._last, self._terminal = end, 0.0, sys.stderr.isatty()

    def say(self, task: str, share: float) -> None:
        now = time.monotonic()
        if now - self._last < (0.2 if self._terminal else CHANGE_OF_LINE):
            return
        self._last = now
        left = max(0, round(self._end - now))
        line = f"{task}, {share:.0%}; at most {left // 60}:{left % 60:02d} left"
        print(
            f"\r\x1b[K{line}" if self._terminal else line,
            end="" if self._terminal else "\n",
            file=sys.stderr,
            flush=True,
        )

    def tell(self, line: str) -> None:
        """A line that stays."""
        self.end()
        print(line, file=sys.stderr, flush=True)

    def end(self) -> None:
        if self._terminal:
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)
