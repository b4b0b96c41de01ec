"""The compiled kernel: C++ sources, and the module built from them where there was a compiler."""
