"""The archive of judged kernels that evolution draws its parents from."""
