"""A program of its own, which needs nothing but Python: runs a command, and ends it when whoever asked for it is gone.

    python -I -S warden.py WORD...

Standard input is a pipe whose other end the worker holds. A worker that is killed can tidy nothing up, but its end of the pipe
closes, and the command, with all that it started, is killed before it can go on with rows that somebody else works on next.
The exit code is the command's, 128 and the signal's number where one killed it, 127 where there is no such program.
"""

import os
import signal
import subprocess
import sys
import threading


def main(words: list[str]) -> int:
    try:
        child = subprocess.Popen(words, stdin=subprocess.DEVNULL, start_new_session=True)
    except OSError as error:
        os.write(2, f"{words[0]}: {error.strerror}\n".encode())
        return 127

    def watch() -> None:
        while os.read(0, 1):
            pass
        end(child)

    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    threading.Thread(target=watch, daemon=True).start()
    try:
        code = child.wait()
    finally:
        # What it left running would go on reading the rows.
        end(child)
    return code if code >= 0 else 128 - code


def end(child: "subprocess.Popen[bytes]") -> None:
    try:
        if hasattr(os, "killpg"):
            os.killpg(child.pid, signal.SIGKILL)
        else:
            child.kill()
    except OSError:
        pass


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
