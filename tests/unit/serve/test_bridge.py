"""The program that QEMU starts for a connection of its guest."""

from __future__ import annotations

import socket
import subprocess
import sys
import threading

from metallize.serve import bridge


def test_an_answer_comes_whole_after_the_asker_has_finished_asking() -> None:
    answer = b"x" * 3_000_000
    asked = []
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            connection, _ = server.accept()
            with connection:
                while data := connection.recv(4096):
                    asked.append(data)
                connection.sendall(answer)

        thread = threading.Thread(target=serve)
        thread.start()
        argv = [sys.executable, "-I", "-S", bridge.__file__, str(server.getsockname()[1])]
        done = subprocess.run(argv, input=b"GET /", capture_output=True, check=False, timeout=20)
        thread.join()
    assert (b"".join(asked), done.stdout, done.stderr, done.returncode) == (b"GET /", answer, b"", 0)


def test_a_server_that_is_gone_ends_it() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    argv = [sys.executable, "-I", "-S", bridge.__file__, str(port)]
    done = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, check=False, timeout=20)
    assert (done.returncode, done.stdout, done.stderr) == (1, b"", b"")
