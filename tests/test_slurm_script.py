"""The script for Slurm, run by bash with a stand-in of sbatch that runs each job at once."""

import os
import subprocess
from pathlib import Path

import pytest
import yaml

from evolvent.errors import InputError
from evolvent.recipe import run
from evolvent.slurm_script import slurm
from tests.processes import finish, start

SBATCH = """#!/bin/bash
# Runs what is wrapped at once, an array job by job; says a job's number, as --parsable has it.
set -e
n=$(( $(cat "$JOBS/n" 2>/dev/null || echo 0) + 1 )); echo $n > "$JOBS/n"
echo "$@" >> "$JOBS/said"
array=1-1
while [ $# -gt 0 ]; do
    case "$1" in
        --array=*) array=${1#--array=} ;;
        --dependency=afterok:*) test -e "$JOBS/${1#--dependency=afterok:}" ;;
        --wrap) command=$2; shift ;;
    esac
    shift
done
for task in $(seq ${array/-/ }); do SLURM_ARRAY_TASK_ID=$task bash -c "$command" >> "$JOBS/out" 2>&1; done
touch "$JOBS/$n"; echo $n
"""


def test_a_recipe_in_shards_is_the_recipe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    seeds = "".join(f'{{"instruction": "How do I mend sock number {n}?"}}\n' for n in range(70))
    Path("seeds.jsonl").write_text(seeds)
    text = "evolve: {seeds: seeds.jsonl, model: embedded, rounds: 1, max_tokens: 16}\n"
    Path("one's $HOME.yaml").write_text("out: many\n" + text)
    bin = tmp_path / "bin"
    bin.mkdir()
    (bin / "sbatch").write_text(SBATCH)
    (bin / "sbatch").chmod(0o755)
    Path("submit.sh").write_text(slurm("one's $HOME.yaml", shards=2, sbatch="--time 1:00:00 --comment 'a b'"))
    variables = {"PATH": f"{bin}:{os.environ['PATH']}", "JOBS": str(bin)}
    ended = finish(start(["bash", "submit.sh"], variables=variables))
    assert (ended.status, ended.output) == (0, "3\n"), (bin / "out").read_text() + ended.errors
    said = (bin / "said").read_text()
    assert said.count("--array=1-2 --time 1:00:00 --comment a b") == 1
    assert said.count("--time 1:00:00 --comment a b") == 3
    run({"out": "one", **yaml.safe_load(text)})
    assert Path("many/evolved.parquet").read_bytes() == Path("one/evolved.parquet").read_bytes()


def test_the_script_is_bash(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("r.yaml").write_text("out: runs/a b\nevolve: {seeds: s.jsonl, model: embedded}\n")
    script = slurm("r.yaml", shards=64)
    assert subprocess.run(["bash", "-n"], input=script, text=True, check=False).returncode == 0
    with pytest.raises(InputError):
        slurm("absent.yaml", shards=64)


def test_the_three_stages_of_autoif_are_merged_one_after_the_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("q.jsonl").write_text('{"instruction": "How do I mend a sock?"}\n')
    Path("r.yaml").write_text("out: run\nevolve: {method: autoif, queries: q.jsonl, model: embedded}\n")
    assert slurm("r.yaml", shards=2).count("--array=1-2") == 3


def test_a_stage_that_works_on_the_whole_comes_last(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    stages = "evaluate: {model: embedded, tasks: embedded_sums}\nevolve: {seeds: s.jsonl, model: embedded}\n"
    Path("r.yaml").write_text(f"out: run\n{stages}")
    with pytest.raises(InputError, match="evaluate works on its whole input, and evolve, which has shards"):
        slurm("r.yaml", shards=2)
