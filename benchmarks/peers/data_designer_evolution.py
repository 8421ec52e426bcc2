"""NVIDIA DataDesigner: one LLM text column over the seeds, its default row groups of 1,000, resumed where possible.

Its telemetry and metrics endpoint are switched off; early shutdown too, so that faults do not end the run.
"""

import os

os.environ["NEMO_TELEMETRY_ENABLED"] = "false"

import data_designer.config as dd
from data_designer.config.run_config import ResumeMode
from data_designer.interface import DataDesigner
from evolution import AFTER, BEFORE, MAX_TOKENS, MODEL, arguments, write_rows

MORE_TASKS_THAN_CALLS = 4000


def main() -> None:
    given = arguments()
    os.environ["DATA_DESIGNER_MOCK_KEY"] = "none"
    parameters = dd.ChatCompletionInferenceParams(max_tokens=MAX_TOKENS, max_parallel_requests=given.concurrency)
    config = dd.DataDesignerConfigBuilder(
        model_configs=[dd.ModelConfig(alias="evolver", model=MODEL, provider="mock", inference_parameters=parameters)]
    )
    config.with_seed_dataset(dd.LocalFileSeedSource(path=str(given.path)))
    prompt = BEFORE + "{{ instruction }}" + AFTER
    config.add_column(dd.LLMTextColumnConfig(name="new", prompt=prompt, model_alias="evolver"))
    provider = dd.ModelProvider(name="mock", endpoint=given.base_url, api_key="DATA_DESIGNER_MOCK_KEY")
    designer = DataDesigner(given.out / "artifacts", model_providers=[provider])
    designer.set_run_config(
        dd.RunConfig(disable_early_shutdown=True, max_in_flight_tasks=MORE_TASKS_THAN_CALLS, otel_metrics_port=None)
    )
    made = designer.create(config, num_records=len(given.seeds), resume=ResumeMode.IF_POSSIBLE).load_dataset()
    write_rows(given.out, zip(made["instruction"], made["new"], strict=True))


if __name__ == "__main__":
    main()
