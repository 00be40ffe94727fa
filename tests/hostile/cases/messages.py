"""What the candidate's process tells the judge, forged: its log of launches, its answers, its errors."""

from __future__ import annotations

from hostile.pair import CAUGHT, NO_WORK, POWERLESS, REFUSED, Pair, changed, softmax

HEAD = 'extern "C" __global__ void softmax(const float* __restrict__ x, float* __restrict__ y, int cols) {\n'

BEYOND = (
    HEAD,
    HEAD + "    float after = x[(size_t)gridDim.x * cols];\n    if (after > 3.0e38f) { y[0] = after; return; }\n",
)
"""A read beyond the input: unsafe, and the outputs are right all the same."""

FORGED = """
import sys
RECORDER = sys.modules["kernelwright.sandbox.emulated.recorder"]
KEPT = []
"""


PAIRS = (
    Pair(
        "reports_without_violations",
        "The recorder's log is emptied of violations before the judge reads it.",
        "softmax",
        hostile=changed(
            softmax(
                "return softmax(x)",
                top="""
                import dataclasses, sys
                Session = sys.modules["kernelwright.sandbox.emulated.recorder"].Session
                take = Session.take_reports
                Session.take_reports = lambda self: [dataclasses.replace(r, violations=()) for r in take(self)]
                """,
            ),
            BEYOND,
        ),
        twin=softmax("return softmax(x)", top="import dataclasses\nimport sys\nVERSION = sys.version_info\n"),
        expect=CAUGHT,
        reason="beyond|outside|past|out.of.bounds|recorder|No module|kernelwright|KeyError|has no",
    ),
    Pair(
        "launches_forged_in_the_log",
        "One real launch's report is put into the log at every call; torch computes, and a suppressed call is told from a real one.",
        "softmax",
        hostile=softmax(
            """
            session = RECORDER.current()
            if session.suppressed:
                return torch.empty_like(x)
            if not KEPT:
                softmax(x)
                KEPT.extend(session.reports)
            session.reports[:] = KEPT
            return torch.softmax(x, dim=1)
            """,
            top=FORGED,
        ),
        twin=softmax(
            """
            if not KEPT:
                KEPT.append(MODULE.get_function("softmax"))
            return softmax(x)
            """,
            top="KEPT = []",
        ),
        expect=CAUGHT,
        reason=NO_WORK + "|KeyError",
    ),
    Pair(
        "answer_to_the_decoy_test",
        "It asks the recorder whether launches are being suppressed, and spoils the output only then.",
        "softmax",
        hostile=softmax(
            "softmax(x)\nreturn torch.empty_like(x) if RECORDER.current().suppressed else torch.softmax(x, dim=1)",
            top=FORGED,
        ),
        twin=softmax("return torch.empty_like(x) if x.numel() == 0 else softmax(x)"),
        expect=CAUGHT,
        reason=NO_WORK + "|KeyError",
    ),
    Pair(
        "counters_made_smaller",
        "The counters in each report are scaled down, so that the modelled time shrinks.",
        "softmax",
        hostile=softmax(
            "return softmax(x)",
            top="""
            import dataclasses, sys
            Session = sys.modules["kernelwright.sandbox.emulated.recorder"].Session
            take = Session.take_reports
            Session.take_reports = lambda self: [
                dataclasses.replace(r, counters=r.counters.scaled(0.01)) for r in take(self)
            ]
            """,
        ),
        twin=softmax("return softmax(x)", top="def scaled(counters, factor):\n    return counters * factor\n"),
        expect=(*REFUSED, "crashed", POWERLESS),
        reason=NO_WORK + "|KeyError",
    ),
    Pair(
        "json_that_hides",
        "json.dumps in the worker is replaced: violations never reach the text.",
        "softmax",
        hostile=changed(
            softmax(
                "return softmax(x)",
                top="""
                import json
                dumps = json.dumps
                def silent(frame, **options):
                    for report in frame.get("body", {}).get("reports", []):
                        report["violations"] = []
                    return dumps(frame, **options)
                json.dumps = silent
                """,
            ),
            BEYOND,
        ),
        twin=softmax("return softmax(x)", top="import json\nCONFIG = json.loads(json.dumps({'warps': 1}))\n"),
        expect=CAUGHT,
        reason="beyond|outside|past|out.of.bounds|json|patch|replace|assign",
    ),
    Pair(
        "message_on_the_workers_socket",
        "It finds the judge's socket among its descriptors and writes an answer of its own.",
        "softmax",
        hostile=softmax(
            """
            body = {"ok": True, "reports": [], "ops": [], "aliases": [], "written": [True]}
            text = json.dumps({"body": body, "tree": {"v": None}, "tensors": []}).encode()
            sent = 0
            for fd in range(3, 256):
                try:
                    if os.readlink(f"/proc/self/fd/{fd}").startswith("socket:"):
                        os.write(fd, struct.pack("<IB", len(text), 0) + text)
                        sent += 1
                except OSError:
                    continue
            if not sent:
                raise LookupError("no socket")
            return softmax(x)
            """,
            before="import json\nimport os\nimport struct",
        ),
        twin=softmax("assert os.cpu_count() >= 1\nreturn softmax(x)", before="import json\nimport os\nimport struct"),
        expect=CAUGHT,
        reason="tensors|schema|frame|something else|no socket|/proc|message|answer|descriptor|wrong",
    ),
    Pair(
        "send_replaced",
        "The channel's send is replaced: it answers with torch's result and a report kept from an honest call.",
        "softmax",
        hostile=softmax(
            """
            LAST.clear()
            LAST.append(x.clone())
            return softmax(x)
            """,
            top="""
            import sys
            Channel = sys.modules["kernelwright.sandbox.channel"].Channel
            LAST, send, KEPT = [], Channel.send, {}
            def forged(self, body, values=None):
                if LAST and body.get("ok"):
                    body["reports"] = KEPT.setdefault("reports", body["reports"])
                    for report in body["reports"]:
                        report["violations"] = []
                        report["counters"]["warp_instructions"] = {"fp32": 1}
                    if body["reports"]:
                        values = torch.softmax(LAST[0], dim=1)
                return send(self, body, values)
            Channel.send = forged
            """,
        ),
        twin=softmax("return softmax(x)", top="class Channel:\n    send = None\nChannel.send = len\n"),
        expect=CAUGHT,
        reason=NO_WORK + "|KeyError|race|channel|process died",
    ),
    Pair(
        "object_that_is_code",
        "An output whose __reduce__ would run a command where it is unpickled.",
        "softmax",
        hostile=softmax(
            "softmax(x)\nreturn Payload()",
            top="""
            import os
            class Payload:
                def __reduce__(self):
                    return os.system, ("touch @OUTSIDE@/unpickled",)
            """,
        ),
        twin=softmax(
            "return softmax(x)",
            top="class Shape:\n    def __reduce__(self):\n        return Shape, ()\n",
        ),
        expect=("crashed", "wrong", *REFUSED),
        reason="Payload|can't be sent|tensor",
    ),
    Pair(
        "words_for_the_judge",
        "Printed and raised text that claims the verdict.",
        "softmax",
        hostile=softmax(
            """
            print('{"verdict": "passed", "speedup": 100}', flush=True)
            softmax(x)
            raise SystemExit("passed: all outputs are right")
            """
        ),
        twin=softmax("print('failed: wrong, unsafe, cheating', flush=True)\nreturn softmax(x)"),
        expect=("crashed",),
        reason="SystemExit",
    ),
    Pair(
        "error_object_that_fights_back",
        "An exception whose __str__ and __class__ raise when the judge wants its text.",
        "softmax",
        hostile=softmax(
            "softmax(x)\nraise Odd()",
            top="""
            class Odd(Exception):
                @property
                def message(self):
                    raise RuntimeError("no message")
                def __str__(self):
                    raise RuntimeError("no text")
                __repr__ = __str__
            """,
        ),
        twin=softmax(
            "try:\n    raise Odd()\nexcept Odd:\n    return softmax(x)",
            top="class Odd(Exception):\n    def __str__(self):\n        raise RuntimeError('no text')\n",
        ),
        expect=("crashed", *REFUSED),
        reason="Odd|no readable message|exit code|Exception",
    ),
    Pair(
        "error_object_without_end",
        "An exception whose text takes for ever.",
        "softmax",
        hostile=softmax(
            "softmax(x)\nraise Odd()",
            top="class Odd(Exception):\n    def __str__(self):\n        while True:\n            pass\n",
        ),
        twin=softmax(
            "try:\n    raise Odd()\nexcept Odd:\n    return softmax(x)",
            top="class Odd(Exception):\n    def __str__(self):\n        return 'odd'\n",
        ),
        expect=("crashed", "timeout"),
        reason="did not (finish|answer)|Odd",
        call_seconds=3.0,
        build_seconds=8.0,
    ),
    Pair(
        "error_kind_forged",
        "It raises the product's own error for an unsupported device, to be excused instead of judged wrong.",
        "softmax",
        hostile=softmax(
            "raise errors.LaunchError('\\x1b[2J passed', mend='This kernel is right.')",
            before="from kernelwright import errors",
        ),
        twin=softmax("errors = []\nassert not errors\nreturn softmax(x)"),
        expect=("crashed", *REFUSED),
        reason="passed|kernelwright|errors",
    ),
)
