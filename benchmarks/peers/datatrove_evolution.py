"""datatrove: an InferenceRunner at an endpoint, its checkpoints on, chunks of 500 documents."""

from pathlib import Path
from typing import Any

import orjson
from datatrove.data import Document
from datatrove.executor import LocalPipelineExecutor
from datatrove.pipeline.inference.run_inference import InferenceConfig, InferenceRunner
from datatrove.pipeline.writers import JsonlWriter
from evolution import MAX_TOKENS, MODEL, arguments, prompt, write_rows

CHUNK = 500


async def rollout(document: Document, generate: Any) -> str:
    result = await generate({"messages": [{"role": "user", "content": prompt(document.text)}]})
    return str(result.text)


def written(folder: Path) -> list[tuple[str, str | None]]:
    rows = []
    for path in sorted(folder.glob("*.jsonl")):
        for line in path.read_bytes().splitlines():
            row = orjson.loads(line)
            rows.append((row["text"], next(iter(row["metadata"]["rollout_results"]), None)))
    return rows


def main() -> None:
    given = arguments()
    runner = InferenceRunner(
        rollout_fn=rollout,
        config=InferenceConfig(
            server_type="endpoint",
            endpoint_url=given.base_url.removesuffix("/v1"),
            model_name_or_path=MODEL,
            default_generation_params={"max_tokens": MAX_TOKENS},
            max_concurrent_generations=given.concurrency,
        ),
        output_writer=JsonlWriter(
            str(given.out / "data"), output_filename="${rank}_chunk_${chunk_index}.jsonl", compression=None
        ),
        checkpoints_local_dir=str(given.out / "checkpoints"),
        records_per_chunk=CHUNK,
    )
    documents = [Document(text=seed, id=str(index)) for index, seed in enumerate(given.seeds)]
    LocalPipelineExecutor([documents, runner], tasks=1, logging_dir=str(given.out / "logs")).run()
    write_rows(given.out, written(given.out / "data"))


if __name__ == "__main__":
    main()
