"""Whether programs can be run in a sandbox here, and what to do where they cannot."""

import asyncio
import shutil
import sys
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from subprocess import SubprocessError

from evolvent.errors import InputError, RunError
from evolvent.sandbox.limits import Limits
from evolvent.sandbox.process import serve
from evolvent.sandbox.system_calls import library_found
from evolvent.sandbox.verdicts import Verdict

TRIAL = "import decimal\ndef evaluate(response):\n    return True"  # decimal: to see that modules can be read
INSTALL = "apt-get install bubblewrap libseccomp2"
OLD = "This bubblewrap is too old; 0.8 is known to work."
FORBIDDEN = (
    "Unprivileged user namespaces must be allowed: in a container by its seccomp profile, on Ubuntu 24.04 and later by "
    "an AppArmor profile for bwrap or sysctl kernel.apparmor_restrict_unprivileged_userns=0."
)
REFUSED = ("namespace", "uid map", "gid map", "Permission denied", "Operation not permitted")  # what is said then
UNKNOWN = "Look for the cause in these words; `evolvent doctor` tries it again."
UNSAFE = "Or run what a model wrote without a sandbox, with all your rights: --unsafe-execution"


def require_sandbox(unsafe: bool) -> None:
    """Check that programs can be run as asked: starts a sandbox, and ends it.

    Args:
        unsafe: without the wall, which needs nothing.

    Raises:
        InputError: bubblewrap or libseccomp is missing, or bubblewrap may not make a sandbox here.
    """
    problem = None if unsafe else missing()
    if problem is not None:
        what, fix = problem
        raise InputError(f"code that a model wrote runs only in a sandbox, and {what}", fix=f"{fix}\n{UNSAFE}")


def missing() -> tuple[str, str] | None:
    """What there is no sandbox for, and what to do about it; None when there is one."""
    if sys.platform != "linux":
        return "the sandbox needs Linux", "Run this step on Linux, or in a Linux container."
    needed = {"bubblewrap": shutil.which("bwrap"), "libseccomp": library_found()}
    lacking = [name for name, there in needed.items() if not there]
    if lacking:
        return f"there is no {' and no '.join(lacking)}", f"Install it with: {INSTALL}"
    try:
        _try()
    except (RunError, OSError, SubprocessError) as error:
        said = str(error)
        fix = OLD if "Unknown option" in said else FORBIDDEN if any(words in said for words in REFUSED) else UNKNOWN
        return f"bubblewrap cannot make one here ({said})", fix
    return None


@cache
def _try() -> None:
    """Run a function in a sandbox; that it could be is kept.

    Raises:
        RunError, OSError, SubprocessError: it could not; why.
    """
    trial = serve([(TRIAL, 0)], [""], Limits(seconds=30), walled=True)  # the machine may be busy
    with ThreadPoolExecutor(1) as pool:  # there may be a running loop in this thread
        answers = pool.submit(asyncio.run, trial).result()
    if [answer.verdicts for answer in answers] != [[Verdict(True)]]:
        said = [words for answer in answers for words in (answer.violation, answer.problem) if words]
        raise RunError(f"a trial function gave no verdict: {', '.join(said)}")
