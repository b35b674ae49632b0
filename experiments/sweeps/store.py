"""The folder of a study, and all that is read and written in it.

| path | what |
|---|---|
| study.json | the resolved study, its fingerprint, and a dated history of what was added to it; written first |
| arms/FINGERPRINT | a link to the arm's run beside the folder, `../arms/RECIPE-TEXT`, which studies share |
| analysis.json, summary.json | the outcome, when all arms are done |
"""

import dataclasses
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import TypedDict

from experiments.recipes.settings import DataSettings
from experiments.sweeps.arms import ENDED, ArmState, arm_result, arm_state, with_seconds_left
from experiments.sweeps.results import SUMMARY_SCHEMA, Addition, Known, Summary, read_summary, summary_of
from experiments.sweeps.study import Arm, Study, changes
from experiments.training.records import read_metrics, read_tokens, write_recipe, write_result
from gradpower.tools.errors import InputError, require
from gradpower.tools.files import require_folder
from gradpower.tools.provenance import provenance
from gradpower.tools.reading import Schema, read_json, write_json

SCHEMA = Schema("gradpower/study")
PACKAGES = ("torch", "transformers", "tokenizers", "accelerate", "joblib")

# An entry of the history in study.json: the fingerprint before, what changed, and what of it is about the arms.
Change = TypedDict("Change", {"time": str, "from": str, "changes": list[str], "added": str, "finished": int})


@dataclasses.dataclass(frozen=True)
class Declared:
    """The content of study.json."""

    fingerprint: str
    created: str
    study: Study
    history: tuple[Change, ...]

    @property
    def additions(self) -> list[Addition]:
        """What was added to the study after it was declared, oldest first."""
        return [
            Addition(date=entry["time"][:10], added=entry["added"], finished=entry["finished"])
            for entry in self.history
            if entry["added"]
        ]


def read_declared(folder: Path) -> Declared | None:
    """Return what the study.json in a folder declares; None if there is none yet; InputError if it is not ours."""
    path = folder / "study.json"
    return read_json(path, Declared, SCHEMA, "output") if path.exists() else None


class Store:
    """The folder of one study, which may be yet to come; without a study given, of the one in its study.json.

    An arm with more failed attempts than `retries` has failed.
    """

    def __init__(self, folder: Path, study: Study | None = None, retries: int = 2) -> None:
        self.folder, self.retries = folder, retries
        self.declared = read_declared(folder)
        if study is None and self.declared is not None:
            study = self.declared.study
        if study is None:
            raise InputError("study", folder, f"one with a folder: there is no {folder / 'study.json'} yet")
        self.study, self.arms = study, study.arms()
        self._ended: dict[str, ArmState] = {}

    def run(self, arm: Arm) -> Path:
        """Return the folder of an arm's run as this folder names it."""
        return self.folder / "arms" / arm.fingerprint

    def tokens(self) -> dict[DataSettings, str]:
        """Return the names of the tokens with which arms have begun, by the settings of their text."""
        names: dict[DataSettings, str] = {}
        for arm in self.arms:
            with suppress(InputError):  # a damaged one stops its own arm only
                name = read_tokens(self.run(arm))
                names |= {arm.recipe.data: name} if name else {}
        return names

    def states(self) -> list[ArmState]:
        """Return where every arm is, in the study's order; read anew at each call, of finished ones once."""
        states = []
        for arm in self.arms:
            state = self._ended.get(arm.fingerprint) or arm_state(self.run(arm), arm, self.retries)
            if state.state in ENDED and state.state != "damaged":
                self._ended[arm.fingerprint] = state
            states.append(state)
        return with_seconds_left(self.arms, states)

    def outcome(self) -> Summary:
        """Return what came of all arms; a damaged result counts as missing, and `states` says what is wrong with it."""
        results = [arm_result(self.run(arm))[0] for arm in self.arms]
        return summary_of(self.study, self.declared.additions if self.declared else [], results)

    def write_summary(self, summary: Summary) -> Path:
        """Write summary.json, and return its path."""
        config = {"study": self.study.name, "fingerprint": self.study.fingerprint}
        own = provenance(f"gradpower sweep {self.study.name}", config, packages=PACKAGES)
        content = dataclasses.replace(summary, provenance=own)
        return write_json(self.folder / "summary.json", content, SUMMARY_SCHEMA)

    def check(self, *, whole: bool = True) -> None:
        """Raise InputError, before anything is written, if the study cannot be run in this folder.

        It cannot be written, is another study's or, where it must be `whole`, has lost its runs.
        """
        require_folder(self.folder)
        require_folder(self.folder.resolve().parent / "arms")
        if self.declared is not None:
            if whole:
                self.require_runs("output")
            self._changes(self.declared.study)

    def require_runs(self, argument: str) -> None:
        """Raise InputError if the summary has results and the runs, which lie beside the folder, have none."""
        if not (self.folder / "summary.json").is_file():
            return
        rows = [row for row in read_summary(self.folder, argument).arms if row.status != "missing"]
        arms = self.folder / "arms"
        there = any((arms / row.fingerprint / "result.json").exists() for row in rows)
        allowed = (
            f"a study whose runs lie in {self.folder.parent / 'arms'}: the results of its summary.json are not there "
            "(move them along; or sweep with --known, to go on from the summary; or delete it, to run all anew)"
        )
        require(there or not rows, argument, self.folder, allowed)

    def begin(self, data: Mapping[DataSettings, str], known: Known | None = None) -> int:
        """Declare the study, link its arms to their runs, and return how many results are taken over from a summary.

        `data` has the fingerprint of each text by its settings: only results on this text are taken over, and only of
        arms that have not begun here. InputError if this is another study's folder, its runs are on other text, or
        `known` has none on this text.
        """
        self.declare()
        self.link(data)
        if known is None:
            return 0
        same = [
            pair for pair in known.results if pair[1].data.get("fingerprint") == data[pair[0].recipe.data]
        ]
        allowed = f"a summary with completed arms of {self.study.name} on this text"
        require(same, "known", known.path, allowed)
        reused = 0
        for arm, result in same:
            run = self.run(arm).resolve()
            if not (run / "result.json").exists() and not (run / "leases").exists():
                write_recipe(run, arm.recipe)
                write_result(run, result)
                reused += 1
        return reused

    def declare(self) -> None:
        """Write study.json, or bring it up to date with arms that were added."""
        from filelock import FileLock

        self.folder.mkdir(parents=True, exist_ok=True)
        with FileLock(self.folder / "study.lock"):
            before = self.declared = read_declared(self.folder)
            now = datetime.now(UTC).isoformat(timespec="seconds")
            if before is None:
                self.declared = Declared(self.study.fingerprint, now, self.study, ())
            elif before.study.fingerprint == self.study.fingerprint:
                return
            else:
                changed = self._changes(before.study)
                change: Change = {
                    "time": now,
                    "from": before.study.fingerprint,
                    "changes": changed,
                    "added": "; ".join(part for part in changed if not part.startswith("rule.")),
                    "finished": sum(1 for _ in self.folder.glob("arms/*/result.json")),
                }
                history = (*before.history, change)
                self.declared = Declared(self.study.fingerprint, before.created, self.study, history)
            write_json(self.folder / "study.json", self.declared, SCHEMA)

    def _changes(self, old: Study) -> list[str]:
        """Return the changes from the study that the folder declares, if they are allowed.

        Allowed is anything before an arm has begun; then, what leaves every old arm an arm; and another rule, as long
        as no arm has a validation loss: it is to be declared before anything of its outcome is known.
        """
        changed, new = changes(old, self.study), self.study
        runs = [self.run(arm) for arm in old.arms()]
        begun = any(run.exists() for run in runs)
        kept = {arm.fingerprint for arm in old.arms()} <= {arm.fingerprint for arm in self.arms}
        if begun and (old.name != new.name or not kept):
            why = "the folder holds arms of another study, or of this one before it changed"
        elif old.rule != new.rule and any(map(_has_validation_loss, runs)):
            why = "arms have validation losses, and the rule was declared before"
        else:
            return changed
        allowed = f"the study of {self.folder / 'study.json'}: {why} ({'; '.join(changed)})"
        raise InputError("study", new.name, allowed)

    def link(self, data: Mapping[DataSettings, str]) -> None:
        """Link the arms to their runs on texts of these fingerprints; what is a folder there already stays one."""
        (self.folder / "arms").mkdir(parents=True, exist_ok=True)
        for arm in self.arms:
            link, text = self.run(arm), data[arm.recipe.data]
            run = Path("../../arms") / f"{arm.fingerprint}-{text}"
            if not link.exists():
                with suppress(FileExistsError):
                    link.symlink_to(run)
            result = None if link.is_symlink() else arm_result(link)[0]
            other = link.is_symlink() and link.readlink() != run
            if other or (result is not None and result.data.get("fingerprint") != text):
                allowed = f"the folder of a study on this text ({text}): it has changed since"
                raise InputError("output", self.folder, allowed)


def _has_validation_loss(run: Path) -> bool:
    return (run / "result.json").exists() or any("validation_loss" in row for row in read_metrics(run))


def read_outcome(path: Path) -> Summary:
    """Return a study and what its arms came to, from its folder, where they may still be running, or a summary.json.

    InputError if it is neither.
    """
    if not (path / "study.json").exists():
        return read_summary(path)
    store = Store(path)
    store.require_runs("study")
    return store.outcome()
