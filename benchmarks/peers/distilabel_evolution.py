"""distilabel: EvolInstruct with one evolution; batches of as many rows as calls are to be in flight; its cache on.

The cache is in the output folder, so the same command finds what a killed one left.
"""

from distilabel.models import OpenAILLM
from distilabel.pipeline import Pipeline
from distilabel.steps import LoadDataFromDicts
from distilabel.steps.tasks import EvolInstruct
from evolution import MAX_TOKENS, MODEL, arguments, write_rows


def main() -> None:
    given = arguments()
    with Pipeline(name="evolution", cache_dir=given.out / "cache") as pipeline:
        load = LoadDataFromDicts(
            name="load", data=[{"instruction": seed} for seed in given.seeds], batch_size=given.concurrency
        )
        evolve = EvolInstruct(
            name="evolve",
            llm=OpenAILLM(
                model=MODEL,
                base_url=given.base_url,
                api_key="none",
                generation_kwargs={"max_new_tokens": MAX_TOKENS},
            ),
            num_evolutions=1,
            input_batch_size=given.concurrency,
        )
        load >> evolve
    rows = pipeline.run()["default"]["train"]
    write_rows(given.out, zip(rows["instruction"], rows["evolved_instruction"], strict=True))


if __name__ == "__main__":  # its steps are processes that import this file
    main()
