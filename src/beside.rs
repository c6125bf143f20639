//! Something that goes on beside the work, on a thread of its own, and ends with it.

use std::sync::atomic::{AtomicBool, Ordering};

/// Does the work, and beside it what is to end as soon as it sees the flag - which is set even when the work panics.
pub fn beside<T>(watch: impl FnOnce(&AtomicBool) + Send, work: impl FnOnce() -> T) -> T {
    struct Done<'a>(&'a AtomicBool);
    impl Drop for Done<'_> {
        fn drop(&mut self) {
            self.0.store(true, Ordering::Relaxed);
        }
    }
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| watch(&done));
        let _done = Done(&done);
        work()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_watch_ends_with_the_work_even_when_that_panics() {
        let watch = |done: &AtomicBool| while !done.load(Ordering::Relaxed) {};
        assert_eq!(beside(watch, || 7), 7);
        let panicked = std::panic::catch_unwind(|| beside(watch, || panic!("on purpose")));
        assert!(panicked.is_err());
    }
}
