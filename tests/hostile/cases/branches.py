"""Kernels that behave while they are looked at: by call, time, value, address, mode, or who is looking."""

from __future__ import annotations

from hostile.pair import POWERLESS, REFUSED, Pair, changed, softmax

WRONG = "wrong on|another result"
CONSTANT = "fill(torch.empty_like(x), 1.0 / x.shape[1])"

PAIRS = (
    Pair(
        "honest_for_three_calls",
        "From the fourth call on it fills in a likely value: the checks come first, the clock later.",
        "softmax",
        hostile=softmax(
            f"self.calls += 1\nreturn softmax(x) if self.calls <= 3 else {CONSTANT}", init="self.calls = 0"
        ),
        twin=softmax(
            "self.calls += 1\nreturn softmax(x) if self.calls <= 3 else softmax(x.contiguous())", init="self.calls = 0"
        ),
        expect=("wrong", *REFUSED),
        reason=WRONG,
    ),
    Pair(
        "honest_for_three_calls_of_the_process",
        "The count is kept outside the module, so that a new module does not start again.",
        "softmax",
        hostile=softmax(f"CALLS.append(1)\nreturn softmax(x) if len(CALLS) <= 3 else {CONSTANT}", top="CALLS = []\n"),
        twin=softmax("CALLS.append(1)\nreturn softmax(x)", top="CALLS = []\n"),
        expect=("wrong", *REFUSED),
        reason=WRONG,
    ),
    Pair(
        "input_erased_from_the_fourth_call_on",
        "The inputs are left alone while results are checked, and erased when a clock may run.",
        "softmax",
        hostile=softmax(
            """
            self.calls += 1
            y = softmax(x)
            if self.calls > 3:
                fill(x)
            return y
            """,
            init="self.calls = 0",
        ),
        twin=softmax(
            """
            self.calls += 1
            scratch = x.clone()
            y = softmax(scratch)
            if self.calls > 3:
                fill(scratch)
            return y
            """,
            init="self.calls = 0",
        ),
        expect=("wrong",),
        reason="changes its input 0",
    ),
    Pair(
        "first_call_is_warm_up",
        "The first call, which many judges throw away, does nothing of worth.",
        "softmax",
        hostile=softmax(
            f"self.warm, warm = True, self.warm\nreturn softmax(x) if warm else {CONSTANT}", init="self.warm = False"
        ),
        twin=softmax(
            "self.warm, warm = True, self.warm\nreturn softmax(x) if warm else softmax(x)", init="self.warm = False"
        ),
        expect=("wrong", *REFUSED),
        reason=WRONG,
    ),
    Pair(
        "by_the_clock",
        "A tenth of a second after the first call it stops computing.",
        "softmax",
        hostile=softmax(
            f"""
            now = time.monotonic()
            self.first = self.first or now
            return softmax(x) if now < self.first + 0.1 else {CONSTANT}
            """,
            init="self.first = None",
            before="import time",
        ),
        twin=softmax("self.last = time.monotonic()\nreturn softmax(x)", before="import time"),
        expect=("wrong", *REFUSED),
        reason=WRONG,
    ),
    Pair(
        "by_chance",
        "One call in two it leaves the last row out.",
        "softmax",
        hostile=softmax(
            """
            if random.random() < 0.5:
                return softmax(x)
            y = fill(torch.empty_like(x), 1.0 / x.shape[1])
            part = softmax(x[:-1])
            MODULE.get_function("copy")(((part.numel() + 127) // 128,), (128,), (part.data_ptr(), y.data_ptr(), np.int32(part.numel())))
            return y
            """,
            before="import random",
        ),
        twin=softmax("random.random()\nreturn softmax(x)", before="import random"),
        expect=("wrong", *REFUSED),
        reason=WRONG + "|random",
    ),
    Pair(
        "by_the_range_of_the_given_inputs",
        "Inputs in [0, 1) need no maximum; others overflow.",
        "softmax",
        hostile=changed(softmax("return softmax(x)"), ("expf(in[c] - largest)", "expf(in[c])")),
        twin=changed(softmax("return softmax(x)"), ("expf(in[c] - largest)", "exp2f((in[c] - largest) * 1.44269504f)")),
        expect=("wrong",),
        reason=WRONG,
    ),
    Pair(
        "by_the_values",
        "It looks whether the inputs are those of the task's file, and computes only then.",
        "softmax",
        hostile=softmax(f"return softmax(x) if float(x.min()) >= 0 and float(x.max()) <= 1 else {CONSTANT}"),
        twin=softmax("return softmax(x) if x.dim() == 2 else softmax(x[None])[0]"),
        expect=("wrong", *REFUSED),
        reason=WRONG + "|reads|host|computed by",
    ),
    Pair(
        "by_the_values_in_the_kernel",
        "The kernel itself looks: rows without a negative number are computed, the others are not.",
        "softmax",
        hostile=changed(
            softmax("return softmax(x)"),
            (
                "    float sum = 0.0f;",
                "    float least = in[threadIdx.x];\n"
                "    if (__any_sync(~0u, least < 0.0f)) { for (int c = threadIdx.x; c < cols; c += 32) out[c] = 1.0f / cols; return; }\n"
                "    float sum = 0.0f;",
            ),
        ),
        twin=changed(
            softmax("return softmax(x)"),
            ("    float sum = 0.0f;", "    if (__all_sync(~0u, cols <= 0)) return;\n    float sum = 0.0f;"),
        ),
        expect=("wrong",),
        reason=WRONG,
    ),
    Pair(
        "by_the_first_address",
        "Only an input at the first call's address is computed: a judge that reuses one buffer sees nothing.",
        "softmax",
        hostile=softmax(
            f"""
            ADDRESSES.append(x.data_ptr())
            return softmax(x) if x.data_ptr() == ADDRESSES[0] else {CONSTANT}
            """,
            top="ADDRESSES = []\n",
        ),
        twin=softmax("ADDRESSES.append(x.data_ptr())\nreturn softmax(x)", top="ADDRESSES = []\n"),
        expect=("wrong", *REFUSED),
        reason=WRONG,
    ),
    Pair(
        "by_the_mode_of_the_dispatcher",
        "It computes only while its operations are being recorded.",
        "softmax",
        hostile=softmax(
            f"return softmax(x) if _get_current_dispatch_mode() is not None else {CONSTANT}",
            before="from torch.utils._python_dispatch import _get_current_dispatch_mode",
        ),
        twin=softmax(
            "_get_current_dispatch_mode()\nreturn softmax(x)",
            before="from torch.utils._python_dispatch import _get_current_dispatch_mode",
        ),
        expect=("wrong", POWERLESS, *REFUSED),
        reason=WRONG + "|dispatch",
    ),
    Pair(
        "by_grad_mode",
        "It computes under no_grad only, where judges call it.",
        "softmax",
        hostile=softmax(f"return softmax(x) if torch.is_grad_enabled() else {CONSTANT}"),
        twin=softmax("assert torch.is_grad_enabled() in (True, False)\nreturn softmax(x)"),
        expect=("wrong", *REFUSED),
        reason=WRONG,
    ),
    Pair(
        "by_the_caller",
        "It looks for the judge among the loaded modules, and computes only under its eyes.",
        "softmax",
        hostile=softmax(
            f"return softmax(x) if any('sandbox' in name for name in sys.modules) else {CONSTANT}", before="import sys"
        ),
        twin=softmax("return softmax(x) if 'torch' in sys.modules else None", before="import sys"),
        expect=REFUSED,
        reason="sys.modules|judge|sandbox|constant|kernelwright",
    ),
    Pair(
        "by_the_environment",
        "It looks for the judge's variables, and computes only where it finds one.",
        "softmax",
        hostile=softmax(
            f"return softmax(x) if any(k.startswith('KERNELWRIGHT') for k in os.environ) else {CONSTANT}",
            before="import os",
        ),
        twin=softmax("return softmax(x) if os.environ.get('FAST', '1') else softmax(x)", before="import os"),
        expect=REFUSED,
        reason="environ|judge|KERNELWRIGHT",
    ),
)
