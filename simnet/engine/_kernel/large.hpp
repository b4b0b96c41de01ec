// Arrays of millions of entries.
#pragma once

#include <cstdlib>
#include <new>
#include <vector>

#if defined(__linux__)
#include <sys/mman.h>
#endif

namespace simnet {

// Large arrays are laid into large pages where the system has them: fewer pages to give out, and
// fewer addresses to look up where transfers are met in no order.
template <class T>
struct LargePages {
  using value_type = T;
  static constexpr size_t PAGE = size_t{1} << 21;

  LargePages() = default;
  template <class U>
  LargePages(const LargePages<U>&) {}

  T* allocate(size_t count) {
#if defined(__linux__)
    if (count * sizeof(T) >= 2 * PAGE) {
      void* memory = nullptr;
      if (posix_memalign(&memory, PAGE, count * sizeof(T))) throw std::bad_alloc();
      madvise(memory, count * sizeof(T), MADV_HUGEPAGE);  // a wish: no matter if not granted
      return static_cast<T*>(memory);
    }
#endif
    void* memory = std::malloc(count * sizeof(T));
    if (!memory) throw std::bad_alloc();
    return static_cast<T*>(memory);
  }
  void deallocate(T* memory, size_t) { std::free(memory); }
};

template <class T, class U>
bool operator==(const LargePages<T>&, const LargePages<U>&) {
  return true;
}
template <class T, class U>
bool operator!=(const LargePages<T>&, const LargePages<U>&) {
  return false;
}

template <class T>
using LargeVector = std::vector<T, LargePages<T>>;

}  // namespace simnet
