import pytest

from evolvent.errors import InputError, RunError
from evolvent.sandbox import requirements
from evolvent.sandbox.requirements import require_sandbox
from tests.sandbox.wall import needs_wall


@needs_wall
def test_sandbox_is_possible_here() -> None:
    require_sandbox(unsafe=False)


def test_what_is_missing_is_named_with_the_line_that_installs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(requirements.shutil, "which", lambda _: None)
    monkeypatch.setattr(requirements, "library_found", lambda: True)
    with pytest.raises(InputError) as caught:
        require_sandbox(unsafe=False)
    assert caught.value.message == "code that a model wrote runs only in a sandbox, and there is no bubblewrap"
    assert "apt-get install bubblewrap libseccomp2" in caught.value.fix
    assert "--unsafe-execution" in caught.value.fix


def test_both_may_be_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(requirements.shutil, "which", lambda _: None)
    monkeypatch.setattr(requirements, "library_found", lambda: False)
    with pytest.raises(InputError, match="no bubblewrap and no libseccomp"):
        require_sandbox(unsafe=False)


def test_namespaces_may_be_forbidden(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused() -> None:
        raise RunError("a sandbox process did not start: bwrap: setting up uid map: Permission denied")

    monkeypatch.setattr(requirements.shutil, "which", lambda name: f"/usr/bin/{name}")
    monkeypatch.setattr(requirements, "library_found", lambda: True)
    monkeypatch.setattr(requirements, "_try", refused)
    with pytest.raises(InputError, match=r"cannot make one here \(.*setting up uid map: Permission denied") as caught:
        require_sandbox(unsafe=False)
    assert "user namespaces" in caught.value.fix


def test_bubblewrap_may_be_too_old(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused() -> None:
        raise RunError("a sandbox process did not start: bwrap: Unknown option --size")

    monkeypatch.setattr(requirements.shutil, "which", lambda name: f"/usr/bin/{name}")
    monkeypatch.setattr(requirements, "library_found", lambda: True)
    monkeypatch.setattr(requirements, "_try", refused)
    with pytest.raises(InputError, match="Unknown option --size") as caught:
        require_sandbox(unsafe=False)
    assert "too old" in caught.value.fix


def test_other_causes_are_not_guessed_at(monkeypatch: pytest.MonkeyPatch) -> None:
    def failed() -> None:
        raise RunError("a sandbox process did not start: bwrap: execvp /nowhere/python: No such file or directory")

    monkeypatch.setattr(requirements.shutil, "which", lambda name: f"/usr/bin/{name}")
    monkeypatch.setattr(requirements, "library_found", lambda: True)
    monkeypatch.setattr(requirements, "_try", failed)
    with pytest.raises(InputError, match="No such file or directory") as caught:
        require_sandbox(unsafe=False)
    assert "namespaces" not in caught.value.fix


def test_other_systems_have_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(requirements.sys, "platform", "darwin")
    with pytest.raises(InputError, match="needs Linux"):
        require_sandbox(unsafe=False)


def test_unsafe_execution_needs_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(requirements, "missing", lambda: ("there is nothing", "despair"))
    require_sandbox(unsafe=True)
