"""Several servers of one model in a run: one identity, one store, and who gave which replies."""

from collections.abc import Callable
from itertools import cycle
from pathlib import Path

import pytest

from evolvent.costs.budget import Spent
from evolvent.errors import InputError, ModelUnavailableError
from evolvent.models.models import Models, Need
from evolvent.models.openai import OpenAIChat
from evolvent.models.protocols import Reply, Sampling, Usage
from evolvent.report.contents import contents
from evolvent.report.summary import summary
from evolvent.responses.respond import respond
from evolvent.runs.manifest import StageEntry, read_manifest
from evolvent.runs.merge import _paid
from tests.runs.staged import TEACHER, asked_in, write_seeds
from tests.scripted import Opened

FIRST, SECOND = "http://host:1/v1", "http://host:2/v1"
BOTH = f"{TEACHER}&base_url={SECOND}"


@pytest.fixture
def models(monkeypatch: pytest.MonkeyPatch) -> Opened:
    opened = Opened((TEACHER,), lambda *_: "an answer")
    monkeypatch.setattr("evolvent.models.models.open_chat", opened.open_chat)
    return opened


def answers(after: int = 100, *, servers: tuple[str | None, ...] = (None,)) -> Callable[[str, Sampling], Reply]:
    """So many answers, by these servers in turn; then the model is gone."""
    turn, count = cycle(servers), iter(range(after))

    def reply(prompt: str, _: Sampling) -> Reply:
        if next(count, None) is None:
            raise ModelUnavailableError("gone")
        return Reply(f"an answer to {prompt}", "stop", Usage(2, 1), served_by=("m", None), server=next(turn))

    return reply


def test_a_run_of_one_server_goes_on_with_two_and_ends_as_with_one(tmp_path: Path, models: Opened) -> None:
    seeds, model, out = write_seeds(tmp_path, range(12)), models[TEACHER], tmp_path / "run"
    model.reply = answers()
    alone = respond(seeds, teacher=TEACHER, out=tmp_path / "alone").output
    model.reply = answers(5)
    with pytest.raises(ModelUnavailableError):
        respond(seeds, teacher=TEACHER, out=out, concurrency=1)
    asked_in(model)
    model.reply = answers(servers=(FIRST, SECOND, SECOND))
    run = respond(seeds, teacher=BOTH, out=out, concurrency=1)
    assert asked_in(model) == 7  # the five that were stored are not made again
    assert run.output.read_bytes() == alone.read_bytes()
    entry = read_manifest(out)["respond"]
    assert (list(entry.models), entry.paid[TEACHER]["servers"]) == ([TEACHER], {FIRST: 3, SECOND: 4})
    (table,) = [table for table in summary(contents(out)) if table.title == "replies by server"]
    assert [row[2:] for row in table.rows] == [(FIRST, "3"), (SECOND, "4")]

    respond(seeds, teacher=TEACHER, out=out, fresh=True)
    assert asked_in(model) == 0
    other = TEACHER.replace(FIRST, SECOND)
    with pytest.raises(InputError, match="holds respond with other settings"):
        respond(seeds, teacher=f"{other}&base_url={FIRST}", out=out)


def test_servers_that_name_different_models_are_told(
    tmp_path: Path, models: Opened, caplog: pytest.LogCaptureFixture
) -> None:
    names = cycle([("small-v1", FIRST), ("small-v2", SECOND)])

    def reply(*_: object) -> Reply:
        name, server = next(names)
        return Reply("an answer", "stop", served_by=(name, None), server=server)

    models[TEACHER].reply = reply
    respond(write_seeds(tmp_path, range(4)), teacher=BOTH, out=tmp_path / "run", concurrency=1)
    told = f"model {TEACHER}: its servers differ: reply 2 of this command, from {SECOND}, is by small-v2"
    assert f"{told}, those before it by small-v1" in caplog.messages
    (note,) = summary(contents(tmp_path / "run"))[0].notes
    assert note == f"respond: the servers differ under {TEACHER}: replies are by small-v1, small-v2"


def test_a_later_stage_of_more_servers_opens_them() -> None:
    with Models() as models:
        one, both = (models.open(Need("chat", uri)) for uri in (TEACHER, BOTH))
        assert isinstance(one, OpenAIChat)
        assert (one.identity, one.uri) == (both.identity, both.uri)
        assert 2 * one.concurrency == both.concurrency
        assert models.open(Need("chat", BOTH)) is both


def test_shards_with_servers_of_their_own_are_summed() -> None:
    def entry(**servers: int) -> StageEntry:
        account = {"prompt_tokens": 1, "completion_tokens": 1, "estimated": False, "cost": None, "price": None}
        account |= {"calls": 9, **({"servers": servers} if servers else {})}
        return StageEntry({}, {}, paid={TEACHER: account})

    spent = [Spent("respond", TEACHER, 27, 3, 3, False, 1.0)]
    (account,) = _paid(spent, "respond", [entry(), entry(a=2, b=3), entry(b=4, c=1)]).values()
    assert (account["calls"], account["servers"]) == (27, {"a": 2, "b": 7, "c": 1})
    assert "servers" not in _paid(spent, "respond", [entry(), entry()])[TEACHER]
