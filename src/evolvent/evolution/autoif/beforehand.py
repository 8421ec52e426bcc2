"""What would be found wrong only when a later stage of AutoIF begins, looked at before the first one is paid for."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from evolvent.calls.log import spent_in
from evolvent.costs.budget import require_prices
from evolvent.errors import InputError
from evolvent.evolution.autoif.rules import METHOD
from evolvent.models.uri import parse_uri, require_folder
from evolvent.runs.manifest import read_manifest
from evolvent.runs.stage import Calling, is_server, known_prices, open_models

CHAT_IN_THIS_PROCESS = ("embedded", "hf", "vllm")


def check_folder(out: Path) -> None:
    """Check that a folder does not hold the stages of another method.

    Raises:
        InputError: it does.
    """
    for stage, entry in read_manifest(out).items():
        if stage in ("evolve", "respond") and entry.settings.get("method") != METHOD:
            raise InputError(
                f"run folder {out} holds {stage} of another method",
                fix="Use another --out, or --fresh to make its stages anew.",
            )


def check_models(models: Sequence[str], extra_body: Mapping[str, object] | None, calling: Calling) -> None:
    """Check that models can be opened, as far as that is known without loading weights and without a call.

    Raises:
        InputError: a base model, a folder that is not there, an option that cannot work.
        ModelUnavailableError: the environment holds no key for a server.
    """
    for uri in models:
        parsed = parse_uri(uri)
        require_folder(parsed)
        if is_server(uri) or parsed.scheme not in CHAT_IN_THIS_PROCESS:
            open_models([uri], extra_body, calling)


def priced_together(out: Path, models: Sequence[str], calling: Calling) -> Calling:
    """How calls are made, with the prices of all stages' models: a price of the judge's is none for the first stage.

    Raises:
        InputError: a price that fits no model, or a budget and a model without a price.
    """
    prices = known_prices(calling, models, spent_in(out), read_manifest(out))
    if calling.get("budget") is not None:
        require_prices(map(str, map(parse_uri, models)), prices)
    return {**calling, "price": prices}
