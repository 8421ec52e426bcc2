from importlib import metadata

import pytest

from evolvent import environment
from evolvent.environment import Finding, doctor


def vllm_found(monkeypatch: pytest.MonkeyPatch, version: str | None, device: Finding) -> Finding:
    def installed(package: str) -> str:
        if package == "vllm":
            if version is None:
                raise metadata.PackageNotFoundError(package)
            return version
        return "1.0"

    monkeypatch.setattr(environment.metadata, "version", installed)
    monkeypatch.setattr(environment, "_device", lambda: device)
    [finding] = [finding for finding in doctor() if finding.subject == "vllm:"]
    return finding


GPU = Finding("device", True, "Some GPU")


def test_vllm_is_usable_with_its_release_and_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    finding = vllm_found(monkeypatch, "0.33.0", GPU)
    assert (finding.usable, finding.found) == (True, "0.33.0")


@pytest.mark.parametrize(
    ("version", "device", "found", "note"),
    [
        (None, GPU, "not installed", "pip install 'evolvent[vllm]'"),
        ("0.34.1", GPU, "0.34.1", "written for vLLM 0.33"),
        ("0.33.0", Finding("device", True, "CPU, 2 threads"), "0.33.0", "no GPU"),
        ("0.33.0", Finding("device", False, "no torch"), "0.33.0", "no GPU"),
    ],
)
def test_vllm_is_not_usable(
    monkeypatch: pytest.MonkeyPatch, version: str | None, device: Finding, found: str, note: str
) -> None:
    finding = vllm_found(monkeypatch, version, device)
    assert (finding.usable, finding.found) == (False, found)
    assert note in finding.note


def sandbox_found(monkeypatch: pytest.MonkeyPatch, problem: tuple[str, str] | None) -> Finding:
    monkeypatch.setattr(environment, "missing", lambda: problem)
    [finding] = [finding for finding in doctor() if finding.subject == "sandbox"]
    return finding


def test_sandbox_is_usable(monkeypatch: pytest.MonkeyPatch) -> None:
    assert sandbox_found(monkeypatch, None).usable


def test_sandbox_is_missing_with_the_line_that_installs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    finding = sandbox_found(monkeypatch, ("there is no bubblewrap", "Install it with: apt-get install bubblewrap"))
    assert (finding.usable, finding.found) == (False, "there is no bubblewrap")
    assert "apt-get install bubblewrap" in finding.note


def test_this_machine_is_examined() -> None:
    findings = {finding.subject: finding for finding in doctor()}
    assert findings["embedded"].usable
    assert findings["sqlite"].usable
