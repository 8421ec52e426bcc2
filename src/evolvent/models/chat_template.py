"""Chat templates that a user names: ours by their names, any other by its file."""

from pathlib import Path

from evolvent.errors import InputError

# The prompt of Alpaca in plain text, for any model; and ChatML, whose tokens Qwen and SmolLM2 know.
OURS = ("alpaca", "chatml")
FOLDER = Path(__file__).parent / "chat_templates"


def read_template(name: str, uri: str) -> str:
    """The chat template that a user named for a model.

    Args:
        name: of one of ours, or a Jinja file.
        uri: the model's.

    Raises:
        InputError: it cannot be read.
    """
    path = FOLDER / f"{name}.jinja" if name in OURS else Path(name)
    try:
        return path.expanduser().read_text(encoding="utf-8")
    except (OSError, RuntimeError, UnicodeDecodeError) as error:  # RuntimeError: ~name of a user who is not there
        raise InputError(
            f"model {uri}: cannot read the chat template {name}: {error}",
            fix=f"Name alpaca, chatml or a Jinja file: {uri.partition(':')[0]}:MODEL?chat_template=chatml.",
        ) from error
