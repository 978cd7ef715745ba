"""Runs a program in a sandbox that allows these system calls alone, as a unit's SystemCallFilter= does: allowed.py NUMBER,NUMBER…[/NUMBER,NUMBER…] PROGRAM
ARGUMENT... Those behind the slash are answered as if there were no such call; all others are not permitted."""

import ctypes
import errno
import os
import struct
import sys

PR_SET_SECCOMP, PR_SET_NO_NEW_PRIVS, SECCOMP_MODE_FILTER = 22, 38, 2
LOAD, EQUAL, RETURN = 0x20, 0x15, 0x06
SECCOMP_RET_ALLOW, SECCOMP_RET_ERRNO = 0x7FFF0000, 0x00050000


def main():
    allowed, _, unknown = sys.argv[1].partition("/")
    # The system call's number is the first word that the filter is shown.
    steps = [(LOAD, 0, 0, 0)]
    for numbers, answer in [(allowed, SECCOMP_RET_ALLOW), (unknown, SECCOMP_RET_ERRNO | errno.ENOSYS)]:
        for number in filter(None, numbers.split(",")):
            steps += [(EQUAL, 0, 1, int(number)), (RETURN, 0, 0, answer)]
    steps.append((RETURN, 0, 0, SECCOMP_RET_ERRNO | errno.EPERM))
    code = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *step) for step in steps))
    filter_ = struct.pack("HxxxxxxQ", len(steps), ctypes.addressof(code))
    prctl = ctypes.CDLL(None, use_errno=True).prctl
    for arguments in [(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), (PR_SET_SECCOMP, SECCOMP_MODE_FILTER, filter_)]:
        if prctl(*arguments) != 0:
            sys.exit(f"prctl: {os.strerror(ctypes.get_errno())}")
    os.execvp(sys.argv[2], sys.argv[2:])


main()
