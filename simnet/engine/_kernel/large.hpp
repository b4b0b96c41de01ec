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
    const size_t bytes = count * sizeof(T);
#if defined(__linux__)
    if (is_large(count)) {
      void* memory = nullptr;
      if (posix_memalign(&memory, PAGE, bytes)) throw std::bad_alloc();
      madvise(memory, bytes, MADV_HUGEPAGE);  // a wish: no matter if not granted
      return static_cast<T*>(memory);
    }
#endif
    return static_cast<T*>(::operator new(bytes, std::align_val_t(alignof(T))));
  }
  void deallocate(T* memory, size_t count) {
    if (is_large(count)) {
      std::free(memory);
    } else {
      ::operator delete(memory, std::align_val_t(alignof(T)));
    }
  }

 private:
  static bool is_large([[maybe_unused]] size_t count) {
#if defined(__linux__)
    return count >= 2 * PAGE / sizeof(T);
#else
    return false;
#endif
  }
};

template <class T, class U>
bool operator==(const LargePages<T>&, const LargePages<U>&) {
  return true;
}
template <class T, class U>
bool operator!=(const LargePages<T>&, const LargePages<U>&) {
  return false;
}

// Make room for `more` entries at once; many are not met by doubling, which may waste as much.
template <class Vector>
void make_room(Vector& vector, size_t more) {
  if (more > vector.size() / 2) vector.reserve(vector.size() + more);
}

template <class T>
using LargeVector = std::vector<T, LargePages<T>>;

}  // namespace simnet
