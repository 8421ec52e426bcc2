"""Which system calls a program may make: a list, compiled by libseccomp to a filter that the kernel enforces.

Namespaces and rlimits leave kernel memory that no rlimit counts (System V segments, memfd, new sockets), other ways to
processes of the same user, and the whole of the kernel's interface to attack. What is not on the list fails with
EPERM; what no honest program calls kills it. Forking is not on the list, so a program is one address space, which
RLIMIT_AS bounds, and ends whole when it is killed.
"""

import ctypes
import errno
import os
import tempfile
from functools import cache

LIBRARY = "libseccomp.so.2"

ALLOWED = """
read write readv writev pread64 pwrite64 preadv pwritev open openat close close_range lseek _llseek
stat fstat lstat stat64 fstat64 lstat64 newfstatat fstatat64 statx access faccessat faccessat2 getdents getdents64
getcwd chdir fchdir mkdir mkdirat rmdir unlink unlinkat rename renameat renameat2 link linkat symlink symlinkat
readlink readlinkat chmod fchmod fchmodat truncate ftruncate truncate64 ftruncate64
umask fsync fdatasync dup dup2 dup3 pipe pipe2 statfs fstatfs statfs64 fstatfs64
poll ppoll select pselect6 _newselect
mmap mmap2 munmap mremap mprotect madvise brk msync
clock_gettime clock_getres clock_nanosleep gettimeofday time nanosleep times getrusage getitimer setitimer alarm pause
clock_gettime64 clock_getres_time64 clock_nanosleep_time64 futex_time64 ppoll_time64 pselect6_time64
rt_sigaction rt_sigprocmask rt_sigreturn sigreturn rt_sigpending rt_sigtimedwait rt_sigsuspend sigaltstack
kill tkill tgkill restart_syscall exit exit_group wait4 waitid
getpid getppid gettid getuid geteuid getgid getegid getresuid getresgid getgroups getpgid getpgrp getsid getpriority
getuid32 geteuid32 getgid32 getegid32 getgroups32 ugetrlimit getrlimit setrlimit
set_robust_list rseq set_tid_address futex sched_yield sched_getaffinity getcpu
set_thread_area uname sysinfo getrandom
"""

FATAL = """
ptrace process_vm_readv process_vm_writev pidfd_getfd kcmp mount umount2 pivot_root chroot move_mount open_tree fsopen
fsmount mount_setattr unshare setns bpf perf_event_open userfaultfd io_uring_setup init_module finit_module
delete_module kexec_load kexec_file_load reboot swapon swapoff acct quotactl add_key request_key keyctl
open_by_handle_at name_to_handle_at iopl ioperm settimeofday clock_settime sethostname syslog fanotify_init
"""

# From libseccomp's seccomp.h.
KILL_PROCESS = 0x80000000
ERRNO = 0x00050000
ALLOW = 0x7FFF0000
BAD_ARCHITECTURE = 2  # SCMP_FLTATR_ACT_BADARCH
EQUAL, MASKED_EQUAL = 4, 7  # SCMP_CMP_EQ, SCMP_CMP_MASKED_EQ

CLONE_THREAD = 0x00010000
NEW_NAMESPACES = 0x7E020080  # CLONE_NEWUSER, NEWPID, NEWNET, NEWIPC, NEWUTS, NEWCGROUP, NEWNS and NEWTIME
# What terminals are asked with (isatty) and descriptors are marked with (FIOCLEX, FIONCLEX), and FIONREAD.
TERMINAL_QUESTIONS = (0x5401, 0x5413, 0x5451, 0x5450, 0x541B)
# F_DUPFD, F_GETFD, F_SETFD, F_GETFL, F_SETFL and F_DUPFD_CLOEXEC: no locks, leases and notices, which reach processes
# outside that have the same file open, no signals, no larger pipes.
DESCRIPTOR_COMMANDS = (0, 1, 2, 3, 4, 1030)


class _Comparison(ctypes.Structure):
    _fields_ = (
        ("argument", ctypes.c_uint),
        ("operator", ctypes.c_int),
        ("first", ctypes.c_uint64),
        ("second", ctypes.c_uint64),
    )


def library_found() -> bool:
    """Whether libseccomp can be loaded."""
    try:
        ctypes.CDLL(LIBRARY)
    except OSError:
        return False
    return True


@cache
def compiled_filter() -> bytes:
    """The filter as the kernel takes it: an array of BPF instructions.

    Raises:
        OSError: libseccomp is missing or refused a rule.
    """
    library = ctypes.CDLL(LIBRARY)
    library.seccomp_init.restype = ctypes.c_void_p
    library.seccomp_init.argtypes = [ctypes.c_uint32]
    library.seccomp_release.argtypes = [ctypes.c_void_p]
    library.seccomp_attr_set.argtypes = [ctypes.c_void_p, ctypes.c_int, ctypes.c_uint32]
    library.seccomp_rule_add_array.argtypes = [
        ctypes.c_void_p,
        ctypes.c_uint32,
        ctypes.c_int,
        ctypes.c_uint,
        ctypes.POINTER(_Comparison),
    ]
    library.seccomp_export_bpf.argtypes = [ctypes.c_void_p, ctypes.c_int]
    context = library.seccomp_init(ERRNO | errno.EPERM)
    if not context:
        raise OSError("libseccomp made no filter")

    def rule(action: int, name: str, *comparisons: _Comparison) -> None:
        number = library.seccomp_syscall_resolve_name(name.encode())
        if number < 0:  # not one of this architecture's
            return
        status = library.seccomp_rule_add_array(
            context, action, number, len(comparisons), (_Comparison * len(comparisons))(*comparisons)
        )
        if status:
            raise OSError(-status, f"libseccomp refused the rule for {name}")

    try:
        library.seccomp_attr_set(context, BAD_ARCHITECTURE, KILL_PROCESS)
        for name in ALLOWED.split():
            rule(ALLOW, name)
        for name in FATAL.split():
            rule(KILL_PROCESS, name)
        # New threads, but no new process and no new namespace; clone3 hides its flags, so libc must fall back to clone.
        rule(ALLOW, "clone", _Comparison(0, MASKED_EQUAL, CLONE_THREAD | NEW_NAMESPACES, CLONE_THREAD))
        rule(ERRNO | errno.ENOSYS, "clone3")
        # Its own limits only: the harness has the same user.
        rule(ALLOW, "prlimit64", _Comparison(0, EQUAL, 0, 0))
        for question in TERMINAL_QUESTIONS:
            rule(ALLOW, "ioctl", _Comparison(1, EQUAL, question, 0))
        for command in DESCRIPTOR_COMMANDS:
            for name in ("fcntl", "fcntl64"):
                rule(ALLOW, name, _Comparison(1, EQUAL, command, 0))
        with tempfile.TemporaryFile() as file:
            status = library.seccomp_export_bpf(context, file.fileno())
            if status:
                raise OSError(-status, os.strerror(-status))
            file.seek(0)
            return file.read()
    finally:
        library.seccomp_release(context)
