"""bespokelabs-curator: one LLM with a prompt and a parse; its default limits (200 requests a minute) lifted.

Its constructor fetches a tokeniser's file; LiteLLM, which it installs, carries the same one. Telemetry is switched off.
"""

import os
from importlib.util import find_spec
from pathlib import Path

os.environ["TELEMETRY_ENABLED"] = "false"
os.environ["CURATOR_DISABLE_RICH_DISPLAY"] = "1"
for place in find_spec("litellm").submodule_search_locations:
    os.environ.setdefault("TIKTOKEN_CACHE_DIR", str(Path(place) / "litellm_core_utils" / "tokenizers"))

from bespokelabs import curator  # noqa: E402 (reads the environment when imported)
from evolution import MAX_TOKENS, MODEL, arguments, prompt, write_rows  # noqa: E402


class Evolver(curator.LLM):
    def prompt(self, input: dict[str, str]) -> str:
        return prompt(input["instruction"])

    def parse(self, input: dict[str, str], response: str) -> dict[str, str]:
        return {"instruction": input["instruction"], "evolved": response}


def main() -> None:
    given = arguments()
    evolver = Evolver(
        model_name=MODEL,
        backend="openai",
        generation_params={"max_tokens": MAX_TOKENS},
        backend_params={
            "base_url": given.base_url,
            "api_key": "none",
            "max_requests_per_minute": 10_000_000,
            "max_tokens_per_minute": 10_000_000_000,
            "max_concurrent_requests": given.concurrency,
        },
    )
    seeds = [{"instruction": seed} for seed in given.seeds]
    rows = evolver(seeds, working_dir=str(given.out / "cache")).dataset
    write_rows(given.out, zip(rows["instruction"], rows["evolved"], strict=True))


if __name__ == "__main__":
    main()
