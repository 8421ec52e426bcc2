"""Measuring one process: its memory, its children's, and how it is ended."""

import sys
from pathlib import Path

from benchmarks.measuring import MB, cpu_of, descendants, measure, memory_of, mock_server, write_seeds

HOLD = "held = b'x' * {bytes}; import time; time.sleep(1)"
CHILD = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {HOLD.format(bytes=90 * MB)!r}])"


def python(code: str) -> list[str]:
    return [sys.executable, "-c", code]


def test_peak_memory(tmp_path: Path) -> None:
    held = measure(python(HOLD.format(bytes=60 * MB)), log=tmp_path / "log", limit_s=60)
    assert (held.status, held.stopped) == (0, "")
    assert 60 < held.peak_mb < 100


def test_memory_of_children_counts(tmp_path: Path) -> None:
    assert measure(python(CHILD), log=tmp_path / "log", limit_s=60).peak_mb > 90


def test_the_time_limit_ends_the_whole_group(tmp_path: Path) -> None:
    left = tmp_path / "left"
    code = f"import subprocess; subprocess.run(['sh', '-c', 'sleep 30; touch {left}'])"
    ended = measure(python(code), log=tmp_path / "log", limit_s=0.2)
    assert ended.status == -9
    assert ended.stopped.startswith("not done after")
    assert ended.seconds < 25


def test_killed_when_told(tmp_path: Path) -> None:
    log = tmp_path / "log"
    code = "import time; print('ready', flush=True); time.sleep(60)"
    ended = measure(python(code), log=log, limit_s=60, kill_when=lambda: log.read_text() != "")
    assert (ended.status, ended.stopped) == (-9, "killed")


def test_a_mock_server_is_started_and_ended(tmp_path: Path) -> None:
    with mock_server(LATENCY_MS=1) as mock:
        assert mock.stats()["requests"] == 0
        mock.reset()
    lines = write_seeds(tmp_path / "seeds.jsonl", 3).read_text().splitlines()
    assert len(set(lines)) == 3


def test_servers_share_a_port() -> None:
    with mock_server(servers=3) as mock:
        assert len(set(mock.processes)) == 3
        for _ in range(20):  # a connection each: whichever server has it
            assert mock.stats()["requests"] == 0
        assert all(cpu_of(process) > 0 for process in mock.processes)
    assert not any(cpu_of(process) for process in mock.processes)


def test_a_look_at_the_processes_of_a_command(tmp_path: Path) -> None:
    seen: list[int] = []

    def look(process: int) -> None:
        seen.extend(memory_of(child) for child in descendants(process))

    measure(python(CHILD), log=tmp_path / "log", limit_s=60, look=look, sample_s=0.1)
    assert max(seen) > 90 * MB
