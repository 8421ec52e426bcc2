"""Where a local model's files are: in a folder of the user's own, or at a commit in the Hugging Face Hub's cache."""

from dataclasses import dataclass
from pathlib import Path

from evolvent.errors import ModelUnavailableError
from evolvent.hub import without_telemetry
from evolvent.models.uri import can_be_hub_id, where_to_look

EMBEDDED_FOLDER = Path(__file__).parent / "embedded"  # the models that ship with the package, a folder each

# What transformers asks for last when it loads a tokenizer and a model. Where the cache knows of both, that they are
# there or that there are none, it knows of the others too.
ASKED_LAST = ("chat_template.jinja", "generation_config.json")


@dataclass(frozen=True, slots=True)
class Place:
    """Where a model's files are.

    Attributes:
        folder: holds config.json; of a model on the Hub it may hold no more than that as yet.
        commit: the commit on the Hub; None for a folder of the user's own.
    """

    folder: Path
    commit: str | None = None


def find_model(name: str, revision: str | None, uri: str) -> Place:
    """Find a model. The Hub is asked what commit a branch or tag is, and nothing where a commit is named and cached.

    Args:
        name: a folder, or an id on the Hub.
        revision: branch, tag or commit on the Hub; None for its default.
        uri: the model's name in messages to the user.

    Raises:
        ModelUnavailableError: there is no such model, or it cannot be reached.
    """
    folder = own_folder(name, uri, revision)
    if folder:
        return Place(folder)
    without_telemetry()
    from huggingface_hub import hf_hub_download

    try:
        folder = Path(hf_hub_download(name, "config.json", revision=revision)).parent
    except Exception as error:  # no network, a gated or absent model, no id: the Hub's client raises anything then
        raise ModelUnavailableError(
            f"model {uri} cannot be loaded: {' '.join(str(error).split())[:300] or type(error).__name__}",
            fix="Check the name and the network; for a gated model set HF_TOKEN; a folder is named with its path.",
        ) from error
    return Place(folder, folder.name)


def own_folder(name: str, uri: str, revision: str | None = None) -> Path | None:
    """The user's folder of this name; None where it is an id on the Hub, as one with a revision is.

    Raises:
        ModelUnavailableError: there is no such folder, and the name can be nothing else; or it holds no model.
    """
    try:
        folder = Path(name).expanduser() if name.startswith("~") else Path(name)
        there = folder.is_dir()
        if there and not (folder / "config.json").is_file():
            raise ModelUnavailableError(
                f"model {uri}: the folder {name} holds no config.json",
                fix="Name a folder that save_pretrained wrote: config.json, tokenizer files, *.safetensors.",
            )
    except (OSError, RuntimeError) as error:  # a name too long for any file; ~name of a user who is not there
        raise ModelUnavailableError(f"model {uri}: no folder has this name: {error}", fix="Check the path.") from error
    if not there and not can_be_hub_id(name, revision):
        raise ModelUnavailableError(f"model {uri}: there is no folder {name}", fix=where_to_look(name))
    return folder if there else None


def cached_folder(name: str, revision: str | None) -> Path | None:
    """The folder of a model on the Hub in the Hub's cache, None if it is not there; the Hub is not asked."""
    without_telemetry()
    from huggingface_hub import try_to_load_from_cache

    config = try_to_load_from_cache(name, "config.json", revision=revision)
    return Path(config).parent if isinstance(config, str) else None


def wholly_cached(name: str, commit: str) -> bool:
    """Whether all that transformers reads of a model at a commit has been read, or downloaded, before."""
    without_telemetry()
    from huggingface_hub import try_to_load_from_cache

    return all(try_to_load_from_cache(name, file, revision=commit) is not None for file in ASKED_LAST)
