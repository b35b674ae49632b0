"""All claims: verdicts as committed, and how claims are found, run and shown."""

import importlib
import json
import pkgutil
import sys
from dataclasses import replace

import pytest

import theory.claims
import theory.claims.commands
from gradpower.tools.errors import InputError
from gradpower.tools.terminal import Output
from theory.claims.claim import Claim, claims_in, condition, numeric, rigorous, run_claim, symbolic
from theory.claims.commands import check, select
from theory.claims.registry import CLAIMS

pytestmark = pytest.mark.slow

FILES = [
    name
    for _, name, package in pkgutil.walk_packages(theory.claims.__path__, "theory.claims.")
    if not package and claims_in(vars(importlib.import_module(name)))
    if name != "theory.claims.commands"
]


@pytest.mark.parametrize("claim", CLAIMS, ids=lambda claim: claim.id)
def test_verdict_is_the_committed_one(claim):
    checked = run_claim(claim)
    assert checked.as_expected, checked
    assert [f.means for f in checked.findings if f.means != "rigorous"][:2] == ["symbolic", "numeric"]
    assert all(f.detail and "\n" not in f.detail and type(f.passed) is bool for f in checked.findings)
    if claim.expected == "fails":
        assert not any(f.passed for f in checked.findings if f.means != "condition")


def test_registry_has_every_claim_once():
    names = [claim.id for claim in CLAIMS]
    assert len(set(names)) == len(names)
    assert all(claim.statement.endswith(".") for claim in CLAIMS)
    assert {claim for name in FILES for claim in claims_in(vars(sys.modules[name]))} == set(CLAIMS)


def fake(*findings):
    return Claim("fake", "A claim.", "nowhere", "tight", lambda: iter(findings))


@pytest.mark.parametrize(
    ("findings", "verdict"),
    [
        ([symbolic("", True), numeric("", 1 < 2, True), rigorous("", True)], "holds"),
        ([symbolic("", True), numeric("", True), condition("σ < 1")], "holds with a condition"),
        ([symbolic("", True, False), numeric("", True)], "fails"),
        ([symbolic("", True), numeric("", False), condition("σ < 1")], "fails"),
        ([symbolic("", True), numeric("", True), rigorous("", False)], "fails"),
    ],
)
def test_verdict_follows_from_the_findings(findings, verdict):
    assert run_claim(fake(*findings)).verdict == verdict


def test_a_finding_without_a_check_is_an_error():
    with pytest.raises(TypeError):
        numeric("nothing was computed", *[])


def test_named_claims_are_shown_with_their_evidence(capsys):
    assert check(Output(), only=("Lemma C.2",)) == 0
    shown = capsys.readouterr().out
    assert all(f"{means}: " in shown for means in ("symbolic", "numeric", "rigorous"))


def test_check_command(capsys, monkeypatch):
    names = ("4.2-supremum", "4.2-edge")
    assert check(Output(json=True), only=names) == 0
    claims = json.loads(capsys.readouterr().out)["claims"]
    assert [c["id"] for c in claims] == list(names)
    keys = {"id", "statement", "source", "kind", "symbolic", "numeric", "rigorous", "region", "verdict"}
    assert keys <= set(claims[0])
    assert (claims[0]["verdict"], claims[1]["verdict"]) == ("holds", "holds with a condition")
    surprising = replace(fake(symbolic("", True), numeric("", True)), expected="fails")
    monkeypatch.setattr(theory.claims.commands, "CLAIMS", (surprising,))
    monkeypatch.setenv("COLUMNS", "200")
    assert check(Output()) == 1
    assert "(expected:" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("named", "ids"),
    [
        (("4.11",), ["4.11-bound"]),
        (("Theorem 4.8",), ["4.8-bound", "4.8-rate"]),
        (("4.8",), ["4.8-bound", "4.8-rate", "4.8-faster"]),
        (("Figure 7",), ["4.2-edge", "figure-7-range"]),
        (("4.5-bound", "4.5"), ["4.5-bound", "4.5-reduction"]),
        (("C.1",), ["c1-young", "c1-moment", "c1-descent"]),
    ],
)
def test_claims_are_chosen_by_id_or_place(named, ids):
    assert [claim.id for claim in select(named)] == ids


def test_unknown_claims_are_refused():
    with pytest.raises(InputError, match=r"^only: 4.4 is not allowed"):
        select(("4.4",))


def test_a_counterexample_is_not_shown_as_a_proof(capsys):
    """Theorem 4.5 needs a condition, without which it is refuted: no plain tick may stand for that."""
    assert check(Output(json=True), only=("4.5-bound",)) == 0
    (claim,) = json.loads(capsys.readouterr().out)["claims"]
    assert claim["rigorous"]["refutes"]
    assert not claim["numeric"]["refutes"]
    assert check(Output(), only=("4.5-bound",)) == 0
    assert "✓ ✓ !" in capsys.readouterr().out
