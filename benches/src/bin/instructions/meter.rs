//! Counts what the measured part allocates, and ends the process behind it.

use std::alloc::{GlobalAlloc, Layout, System};
use std::hint::black_box;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

static ALLOCATIONS: AtomicU64 = AtomicU64::new(0);
static TAKEN: AtomicU64 = AtomicU64::new(0);
static GIVEN_BACK: AtomicU64 = AtomicU64::new(0);

/// The system's allocator with a counter.
struct Counting;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn count(taken: usize, given_back: usize) {
    TAKEN.fetch_add(taken as u64, Relaxed);
    GIVEN_BACK.fetch_add(given_back as u64, Relaxed);
}

// SAFETY: every call is handed on to the system's allocator as it came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Relaxed);
        count(layout.size(), 0);
        // SAFETY: the caller's promise.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Relaxed);
        count(layout.size(), 0);
        // SAFETY: the caller's promise.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Relaxed);
        count(size, layout.size());
        // SAFETY: the caller's promise.
        unsafe { System.realloc(pointer, layout, size) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        count(0, layout.size());
        // SAFETY: the caller's promise.
        unsafe { System.dealloc(pointer, layout) }
    }
}

fn held() -> u64 {
    TAKEN.load(Relaxed).wrapping_sub(GIVEN_BACK.load(Relaxed))
}

/// Does the work, which returns the number of operations, and ends the process: what was prepared and what was made is
/// not taken down, so that this is not counted. Prints operations, allocations, and octets that were taken and kept.
pub(crate) fn measure(work: impl FnOnce() -> u32) -> ! {
    let (allocations, before) = (ALLOCATIONS.load(Relaxed), held());
    let operations = black_box(work());
    let (allocations, after) = (ALLOCATIONS.load(Relaxed) - allocations, held());
    println!("{operations} {allocations} {}", after.wrapping_sub(before).cast_signed());
    std::process::exit(0)
}
