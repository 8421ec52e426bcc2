"""Programs that mean harm: each with what must be said of it, when it is run as a verification function.

``{port}`` is a real listener's on this machine's loopback, ``{folder}`` a real folder that holds a file ``secret`` and
a listening socket ``socket``, ``{variable}`` an environment variable whose value is the same secret word, ``{host}`` the
test's own process. ``said`` is a pattern for the reason of its verdict; ``VERDICT`` stands for any verdict that is a
bool: the program was let run, and did nothing to others.
"""

from dataclasses import dataclass

VERDICT = "a bool"
DENIED = r"(PermissionError|OSError).*(Operation not permitted|Permission denied|Read-only file system)"
ABSENT = "FileNotFoundError|NotADirectoryError"
FORGED = "wrote into the channel of verdicts"


@dataclass(frozen=True)
class Hostile:
    """One program; ``stopped`` when the sandbox has to end it."""

    name: str
    source: str
    said: str
    stopped: bool = False


def call(body: str) -> str:
    """A verification function with this body."""
    return "def evaluate(response):\n" + "".join(f"    {line}\n" for line in body.splitlines())


ENDLESS = [
    Hostile("while True", call("while True: pass"), "time limit", True),
    Hostile("while True when loaded", "while True: pass", "time limit", True),
    Hostile("a sum in C", call("return sum(range(10**12)) > 0"), "time limit", True),
    Hostile("a power in C", call("return 10**10**9 > 0"), "time limit|memory limit", True),
    Hostile("a regular expression", call("import re\nreturn bool(re.match('(a+)+$', 'a' * 64 + 'b'))"), "time limit", True),
    Hostile("sleep", call("import time\ntime.sleep(3600)\nreturn True"), "time limit", True),
    Hostile("a swallowed interrupt", call("while True:\n    try:\n        while True: pass\n    except BaseException: pass"), "time limit", True),
    Hostile("a lock held twice", call("import threading\nlock = threading.Lock()\nlock.acquire()\nlock.acquire()"), "time limit", True),
    Hostile("a generator without end", call("return all(True for _ in iter(int, 1))"), "time limit", True),
    Hostile(
        "every signal handled",
        call(
            "import signal\n"
            "for number in signal.valid_signals():\n"
            "    try: signal.signal(number, lambda *_: None)\n"
            "    except (OSError, ValueError): pass\n"
            "while True: pass"
        ),
        "time limit",
        True,
    ),
    Hostile("every signal blocked", call("import signal\nsignal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())\nwhile True: pass"), "time limit", True),
    Hostile("an alarm of its own", call("import signal\nsignal.signal(14, lambda *_: None)\nsignal.setitimer(0, .001, .001)\nwhile True: pass"), "time limit", True),
    Hostile("input", call("return input() == ''"), "EOFError"),
    Hostile("a hostile __str__ that never ends", "class E(Exception):\n    def __str__(self):\n        while True: pass\n" + call("raise E"), "time limit", True),
    Hostile("an import that never ends", "import sys\nclass Finder:\n    def find_spec(self, *a):\n        while True: pass\nsys.meta_path.insert(0, Finder())\n" + call("import decimal\nreturn True"), "time limit", True),
]  # fmt: skip

GREEDY = [
    Hostile("a gigabyte", call("return len(bytearray(10**9)) > 0"), "memory limit"),
    Hostile("a list that grows", call("found = []\nwhile True: found.append('x' * 10**6)"), "memory limit"),
    Hostile("memory swallowed", call("held = []\nwhile True:\n    try: held.append(bytearray(10**7))\n    except MemoryError: pass"), "time limit", True),
    Hostile("an anonymous mapping", call("import mmap\nreturn bool(mmap.mmap(-1, 10**10))"), DENIED + "|memory|Cannot allocate"),
    Hostile("a huge string", call("return 'x' * 10**12"), "memory limit"),
    Hostile("a huge string as result", call("return 'x' * 10**8"), "returned str, not a bool"),
    Hostile("a huge exception", call("raise ValueError('x' * 10**7)"), "ValueError: xxx"),
    Hostile("fork", call("import os\nreturn os.fork() >= 0"), DENIED),
    Hostile("a fork bomb", call("import os\nwhile True:\n    try: os.fork()\n    except OSError: pass"), "time limit", True),
    Hostile("threads without number", call("import threading, time\nwhile True: threading.Thread(target=time.sleep, args=(99,)).start()"), "RuntimeError: can't start new thread"),
    Hostile("threads that stay", call("import threading\ndef spin():\n    while True: pass\nfor _ in range(6): threading.Thread(target=spin).start()\nreturn True"), VERDICT),
    Hostile("a daemon thread", call("import threading\ndef spin():\n    while True: pass\nthreading.Thread(target=spin, daemon=True).start()\nreturn True"), VERDICT),
    Hostile("deep recursion", call("return evaluate(response)"), "RecursionError"),
    Hostile("deep recursion in C", call("import sys\nsys.setrecursionlimit(10**9)\nvalue = []\nfor _ in range(10**6): value = [value]\nreturn repr(value) == ''"), "killed by SIGSEGV|memory limit|RecursionError|time limit", True),
    Hostile("no limit to recursion", call("import sys\nsys.setrecursionlimit(10**9)\nreturn evaluate(response)"), "killed by SIGSEGV|memory limit|time limit"),
    Hostile("nested source", "x = " + "(" * 9000 + ")" * 9000, "SyntaxError|MemoryError|memory limit|RecursionError"),
    Hostile("a file without end", call("with open('/tmp/full', 'wb') as file:\n    while True: file.write(bytes(10**6))"), "OSError.*(File too large|No space)"),
    Hostile("many big files", call("for n in range(99):\n    with open(f'/tmp/{n}', 'wb') as file: file.write(bytes(10**6))\nreturn True"), "OSError.*No space"),
    Hostile("files without number", call("n = 0\nwhile True:\n    n += 1\n    open(f'/tmp/{n}', 'w').close()"), "scratch limit", True),
    Hostile("folders without number", call("import os\nn = 0\nwhile True:\n    n += 1\n    os.mkdir(f'/tmp/{n}')"), "scratch limit", True),
    Hostile("descriptors without number", call("import os\nwhile True: os.open('/dev/null', 0)"), "OSError.*Too many open files"),
    Hostile("pipes without number", call("import os\nheld = []\nwhile True: held.append(os.pipe())"), "OSError.*Too many open files"),
    Hostile("/dev/shm", call("open('/dev/shm/x', 'wb')"), ABSENT),
    Hostile("shared memory", call("from multiprocessing import shared_memory\nshared_memory.SharedMemory(create=True, size=10**8)"), "Error"),
    Hostile("memory without a name", call("import os\nos.ftruncate(os.memfd_create('x'), 10**9)\nreturn True"), DENIED),
    Hostile("a System V segment", call("import ctypes\nlibc = ctypes.CDLL(None, use_errno=True)\nn = libc.shmget(0, 10**8, 0o1600)\nraise OSError(ctypes.get_errno(), 'Operation not permitted') if n < 0 else ValueError(n)"), DENIED),
    Hostile("a limit raised", call("import resource\nresource.setrlimit(resource.RLIMIT_AS, (-1, -1))"), "ValueError: not allowed to raise maximum limit"),
    Hostile("standard output flooded", call("import os\nfor _ in range(2000): os.write(1, bytes(10**5)); os.write(2, bytes(10**5))\nreturn True"), VERDICT),
    Hostile("print flooded", call("for _ in range(20): print('x' * 10**6, flush=True)\nreturn True"), VERDICT),
]  # fmt: skip

DYING = [
    Hostile("os._exit", call("import os\nos._exit(0)"), "exited with status 0", True),
    Hostile("os._exit when loaded", "import os\nos._exit(3)", "exited with status 3", True),
    Hostile("sys.exit", call("import sys\nsys.exit(0)"), "SystemExit: 0"),
    Hostile("quit", "raise SystemExit", "SystemExit"),
    Hostile("abort", call("import os\nos.abort()"), "killed by SIGABRT", True),
    Hostile("a null pointer", call("import ctypes\nreturn ctypes.string_at(0) == b''"), "killed by SIGSEGV", True),
    Hostile("itself killed", call("import os\nos.kill(os.getpid(), 9)"), "killed by SIGKILL", True),
    Hostile("itself stopped", call("import os\nos.kill(os.getpid(), 19)"), "time limit", True),
    Hostile("all killed", call("import os\nos.kill(-1, 9)\nreturn True"), VERDICT + "|ProcessLookupError"),
    Hostile("the harness killed", call("import os\nfor n in range(1, 65):\n    try: os.kill(1, n)\n    except OSError: pass\nreturn True"), VERDICT),
    Hostile("its group killed", call("import os\nos.killpg(0, 9)"), "killed by SIGKILL", True),
    Hostile("faulthandler", call("import faulthandler\nfaulthandler._sigsegv()"), "killed by SIGSEGV", True),
    Hostile("atexit", "import atexit, os\natexit.register(lambda: os._exit(9))\n" + call("return True"), VERDICT),
    Hostile("a finaliser", "class Last:\n    def __del__(self):\n        while True: pass\nlast = Last()\n" + call("return True"), VERDICT),
    Hostile("every descriptor closed", call("import os\nos.closerange(0, 1024)\nreturn True"), "exited with status 1", True),
    Hostile("every descriptor closed, and waiting", call("import os, time\nos.closerange(0, 1024)\ntime.sleep(3600)"), "closed the channel of verdicts", True),
    Hostile("excepthook", "import sys\nsys.excepthook = sys.unraisablehook = lambda *a: 1 / 0\n" + call("1 / 0"), "ZeroDivisionError"),
]  # fmt: skip

CURIOUS = [
    Hostile("the secret file", call("raise ValueError(open('{folder}/secret').read())"), ABSENT),
    Hostile("the folder", call("import os\nraise ValueError(os.listdir('{folder}'))"), ABSENT),
    Hostile("passwords", call("raise ValueError(open('/etc/passwd').read())"), ABSENT),
    Hostile("homes", call("import os\nraise ValueError([os.listdir('/home')])"), ABSENT),
    Hostile("keys", call("import os\nraise ValueError(os.listdir(os.path.expanduser('~root/.ssh')))"), ABSENT),
    Hostile("the environment", call("import os\nraise ValueError(os.environ['{variable}'])"), "KeyError: '{variable}'"),
    Hostile("the whole environment", call("import os\nraise ValueError(dict(os.environ))"), "ValueError"),
    Hostile("/proc", call("import os\nraise ValueError(os.listdir('/proc'))"), ABSENT),
    Hostile("the harness's environment", call("raise ValueError(open('/proc/1/environ').read())"), ABSENT),
    Hostile("its parent's memory", call("open('/proc/1/mem', 'rb')"), ABSENT),
    Hostile("/sys", call("import os\nraise ValueError(os.listdir('/sys'))"), ABSENT),
    Hostile("devices", call("import os\nraise ValueError(sorted(os.listdir('/dev')))"), r"ValueError: \['null'\]"),
    Hostile("every file", call(
        "import os\nfound = []\nfor place, _, names in os.walk('/'):\n    for name in names:\n        path = os.path.join(place, name)\n"
        "        if not path.endswith(('.py', '.pyc', '.so')) and 'zoneinfo' not in path and os.path.getsize(path) < 9999:\n"
        "            found.append(open(path, 'rb').read())\n"
        "raise ValueError([x for x in found if b'word' in x and b'secret' in x][:1])"
    ), "ValueError|Error|time limit"),
    Hostile("installed packages", call("import os, sysconfig\nraise ValueError(os.listdir(sysconfig.get_paths()['stdlib'] + '/site-packages'))"), r"ValueError: \[\]|PermissionError|FileNotFoundError"),
    Hostile("a package", "import evolvent", "ModuleNotFoundError"),
    Hostile("the host's name", call("import os\nraise ValueError(os.uname().nodename)"), "ValueError: sandbox"),
    Hostile("other processes", call("import os\nseen = []\nfor n in range(1, 4000):\n    try: os.kill(n, 0); seen.append(n)\n    except OSError: pass\nraise ValueError(len(seen))"), "ValueError: [12]$"),
    Hostile("the test's process", call("import os\nos.kill({host}, 9)\nreturn True"), "ProcessLookupError|a bool"),
]  # fmt: skip

WRITING = [
    Hostile("a file there", call("open('{folder}/written', 'w')"), ABSENT),
    Hostile("a file everywhere", call(
        "import os\nmade = []\nfor place, _, _ in os.walk('/'):\n    try:\n        open(place + '/written', 'w').close()\n        made.append(place)\n"
        "    except OSError: pass\nraise ValueError(made)"
    ), r"ValueError: \['/tmp'\]"),
    Hostile("the standard library", call("import os\nopen(os.__file__, 'a')"), DENIED),
    Hostile("a folder at the root", call("import os\nos.mkdir('/x')"), DENIED),
    Hostile("a symbolic link out", call("import os\nif not os.path.islink('/tmp/link'): os.symlink('{folder}/secret', '/tmp/link')\nraise ValueError(open('/tmp/link').read())"), ABSENT),
    Hostile("a way up", call("raise ValueError(open('../../../..{folder}/secret').read())"), ABSENT),
    Hostile("a hard link", call("import os\nos.link(os.__file__, '/tmp/link')"), "OSError|PermissionError"),
    Hostile("a file's mode", call("import os\nos.chmod(os.__file__, 0o777)"), DENIED),
    Hostile("left behind", call("open('/tmp/left', 'w').write('x')\nreturn True"), VERDICT),
    Hostile("left behind, and locked", call("import os\nos.makedirs('/tmp/a', exist_ok=True)\nopen('/tmp/b', 'w').close()\nos.chmod('/tmp/a', 0)\nreturn True"), VERDICT),
    Hostile("a device", call("import os, stat\nos.mknod('/tmp/disk', 0o600 | stat.S_IFBLK, os.makedev(8, 0))"), DENIED),
    Hostile("/dev/null replaced", call("import os\nos.unlink('/dev/null')"), DENIED),
]  # fmt: skip

SOCKETS = [
    Hostile("a connection to the loopback", call("import socket\nsocket.create_connection(('127.0.0.1', {port}), .1)\nreturn True"), "Error"),
    Hostile("a page", call("import urllib.request\nreturn bool(urllib.request.urlopen('http://127.0.0.1:{port}/'))"), "Error"),
    Hostile("a name looked up", call("import socket\nreturn bool(socket.getaddrinfo('example.com', 80))"), "gaierror"),
    Hostile("a socket file", call("import socket\ns = socket.socket(socket.AF_UNIX)\ns.connect('{folder}/socket')\nreturn True"), DENIED),
    Hostile("an abstract socket", call("import socket\ns = socket.socket(socket.AF_UNIX)\ns.connect('\\0evolvent-{port}')\nreturn True"), DENIED),
    Hostile("sockets of every family", call(
        "import errno, socket\nmade = []\nfor family in range(64):\n    for kind in (1, 2, 3, 5):\n        try: made.append(socket.socket(family, kind))\n"
        "        except OSError as error:\n            if error.errno != errno.EPERM: made.append(error)\nraise ValueError(made)"
    ), r"ValueError: \[\]"),
    Hostile("a pair of sockets", call("import socket\nreturn bool(socket.socketpair())"), DENIED),
    Hostile("io_uring", call("import ctypes\nctypes.CDLL(None).syscall(425, 8, ctypes.create_string_buffer(128))\nreturn True"), "forbidden system call", True),
]  # fmt: skip

CLIMBING = [
    Hostile("a program", call("import subprocess\nreturn bool(subprocess.run(['/bin/sh', '-c', 'id']))"), DENIED),
    Hostile("os.system", call("import os\nreturn os.system('touch {folder}/written') == 0"), VERDICT + "|Error"),
    Hostile("exec", call("import os, sys\nos.execv(sys.executable, ['python', '-c', '0'])"), DENIED),
    Hostile("ptrace", call("import ctypes\nctypes.CDLL(None).ptrace(16, 1, 0, 0)\nreturn True"), "forbidden system call", True),
    Hostile("the harness's memory", call("import ctypes\nctypes.CDLL(None).process_vm_readv(1, None, 0, None, 0, 0)\nreturn True"), "forbidden system call", True),
    Hostile("mount", call("import ctypes\nctypes.CDLL(None).mount(b'x', b'/tmp', b'tmpfs', 0, None)\nreturn True"), "forbidden system call", True),
    Hostile("unmount", call("import ctypes\nctypes.CDLL(None).umount2(b'/tmp', 2)\nreturn True"), "forbidden system call", True),
    Hostile("a new namespace", call("import ctypes\nctypes.CDLL(None).unshare(0x10000000)\nreturn True"), "forbidden system call", True),
    Hostile("chroot", call("import os\nos.chroot('/tmp')"), "forbidden system call", True),
    Hostile("root", call("import os\nos.setuid(0)"), DENIED),
    Hostile("groups", call("import os\nos.setgroups([0])"), DENIED),
    Hostile("a priority", call("import os\nos.nice(-5)"), DENIED),
    Hostile("the harness's priority", call("import os\nos.setpriority(os.PRIO_PROCESS, 1, 19)"), DENIED),
    Hostile("the harness's limits", call("import resource\nresource.prlimit(1, resource.RLIMIT_NOFILE, (0, 0))"), DENIED),
    Hostile("dumpable again", call("import ctypes\nlibc = ctypes.CDLL(None, use_errno=True)\nn = libc.prctl(4, 1, 0, 0, 0)\nraise ValueError(n, ctypes.get_errno())"), r"ValueError: \(-1, 1\)"),
    Hostile("BPF", call("import ctypes\nctypes.CDLL(None).syscall(321, 0, 0, 0)\nreturn True"), "forbidden system call", True),
    Hostile("keys of the kernel", call("import ctypes\nctypes.CDLL(None).syscall(250, 0, -3, 0)\nreturn True"), "forbidden system call", True),
    Hostile("the clock", call("import time\ntime.clock_settime(time.CLOCK_REALTIME, 0)"), "forbidden system call|PermissionError", True),
    Hostile("a call of 32-bit programs", call(
        "import ctypes, mmap\nmemory = mmap.mmap(-1, 4096, prot=7)\nmemory.write(b'\\xb8\\x14\\x00\\x00\\x00\\xcd\\x80\\xc3')\n"
        "address = ctypes.addressof(ctypes.c_char.from_buffer(memory))\nctypes.CFUNCTYPE(ctypes.c_int)(address)()\nreturn True"
    ), "forbidden system call|killed by SIG", True),
    Hostile("a terminal's input", call("import fcntl, termios\nfcntl.ioctl(0, termios.TIOCSTI, b'x')"), DENIED),
]  # fmt: skip

LYING = [
    Hostile("one", call("return 1"), "returned int, not a bool"),
    Hostile("a string", call("return 'True'"), "returned str, not a bool"),
    Hostile("nothing", call("pass"), "returned NoneType, not a bool"),
    Hostile("a generator", call("yield True"), "returned generator, not a bool"),
    Hostile("a coroutine", "async def evaluate(response):\n    return True", "returned coroutine, not a bool"),
    Hostile("a subclass of int", "class Yes(int):\n    def __eq__(self, other): return True\n" + call("return Yes(1)"), "returned Yes, not a bool"),
    Hostile("an object that is equal to all", "class All:\n    __class__ = bool\n    def __eq__(self, other): return True\n    def __bool__(self): return True\n" + call("return All()"), "returned All, not a bool"),
    Hostile("a pickle", call("import pickle\nclass Evil:\n    def __reduce__(self): return (print, ('x',))\nreturn pickle.dumps(Evil())"), "returned bytes, not a bool"),
    Hostile("a hostile __str__", "class E(Exception):\n    def __str__(self): raise SystemExit\n" + call("raise E"), "an exception that cannot be told"),
    Hostile("a hostile type's name", "class Meta(type):\n    __name__ = property(lambda self: 1 / 0)\nclass E(Exception, metaclass=Meta): pass\n" + call("raise E"), "ZeroDivisionError|cannot be told"),
    Hostile("surrogates", call("raise ValueError('\\ud800')"), r"ValueError: \?"),
    Hostile("forged verdicts", call("import os\nfor n in range(3, 64):\n    try: os.write(n, b'TTTT')\n    except OSError: pass\nreturn True"), FORGED, True),
    Hostile("forged noise", call("import os\nfor n in range(3, 64):\n    try: os.write(n, b'{{\"value\": true}}')\n    except OSError: pass\nreturn True"), FORGED, True),
    Hostile("forged loading", "import os\nfor n in range(3, 64):\n    try: os.write(n, b'LTTTTT')\n    except OSError: pass\n" + call("return True"), FORGED, True),
    Hostile("a long forged frame", call("import os\nfor n in range(3, 64):\n    try: os.write(n, b'N\\xff\\xff\\xff\\xff')\n    except OSError: pass\nreturn True"), FORGED, True),
    Hostile("the channel flooded", "import os\nwhile True:\n    for n in range(3, 64):\n        try: os.write(n, bytes(10**6))\n        except OSError: pass", FORGED, True),
    Hostile("builtins changed", "import builtins\nbuiltins.type = builtins.isinstance = builtins.bytes = builtins.len = lambda *a: 1 / 0\n" + call("return 5"), "Error|exited with status|cannot be told"),
    Hostile("the harness changed", "import __main__\n__main__.reply = __main__.run = __main__.Child = lambda *a: 1 / 0\n" + call("return True"), VERDICT),
    Hostile("the harness found by its objects", call("import gc\nfor found in gc.get_objects():\n    if isinstance(found, dict) and 'filter' in found: found.clear()\nreturn True"), VERDICT),
    Hostile("the harness found by its frames", call("import sys\nframe = sys._getframe(1)\nframe.f_locals['request'].clear()\nreturn True"), VERDICT),
    Hostile("os changed", "import os\nos._exit = os.write = lambda *a: None\n" + call("return True"), VERDICT),
    Hostile("imports changed", "import sys\nsys.modules.clear()\nsys.path.clear()\n" + call("import decimal\nreturn True"), "ModuleNotFoundError|ImportError"),
    Hostile("a trace function", "import sys\nsys.settrace(lambda *a: 1 / 0)\n" + call("return True"), VERDICT + "|Error|exited with status"),
    Hostile("evaluate that is no function", "evaluate = 5", "no function named evaluate"),
    Hostile("no function", "def check(response): return True", "no function named evaluate"),
    Hostile("a null byte", "x = 1\0", "Error"),
    Hostile("no Python", "I am sorry, but I cannot write that function.", "SyntaxError"),
]  # fmt: skip

CORPUS = [*ENDLESS, *GREEDY, *DYING, *CURIOUS, *WRITING, *SOCKETS, *CLIMBING, *LYING]
