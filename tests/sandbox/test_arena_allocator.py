"""The library with the candidates' allocator, built once for all that ask at the same time."""

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

from kernelwright.sandbox.emulated.arena_allocator import ensure_built


def test_threads_that_build_at_once_all_find_it(tmp_path, monkeypatch):
    monkeypatch.setenv("KERNELWRIGHT_CACHE", str(tmp_path))
    together = Barrier(4)

    def build():
        together.wait()
        ensure_built()

    with ThreadPoolExecutor(4) as pool:
        for job in [pool.submit(build) for _ in range(4)]:
            job.result()
    assert [path.suffix for path in tmp_path.iterdir()] == [".so"]
