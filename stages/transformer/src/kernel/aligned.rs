//! Buffers that begin on a cache line, so that no vector of a panel lies across two.

use std::ops::{Deref, DerefMut};

/// A cache line, which is also the longest vector.
#[derive(Clone, Copy)]
#[repr(C, align(64))]
pub(crate) struct Line([u32; 16]);

/// What a buffer may hold: 32-bit values for which all bits zero is a value.
pub(crate) trait Word: Copy {}
impl Word for f32 {}
impl Word for u32 {}

/// A buffer of `len` values, zeros at first.
pub(crate) struct Aligned<T> {
    lines: Vec<Line>,
    len: usize,
    values: std::marker::PhantomData<T>,
}

impl<T: Word> Aligned<T> {
    pub(crate) fn zeros(len: usize) -> Self {
        Aligned { lines: vec![Line([0; 16]); len.div_ceil(16)], len, values: std::marker::PhantomData }
    }

    /// Room for `len` values, whatever they were.
    pub(crate) fn room(&mut self, len: usize) -> *mut T {
        if self.len < len {
            *self = Self::zeros(len);
        }
        self.as_mut_ptr()
    }
}

impl<T: Word> Default for Aligned<T> {
    fn default() -> Self {
        Self::zeros(0)
    }
}

impl<T: Word> Deref for Aligned<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        // SAFETY: the lines hold at least `len` words, and any word is a value of `T`.
        unsafe { std::slice::from_raw_parts(self.lines.as_ptr().cast(), self.len) }
    }
}

impl<T: Word> DerefMut for Aligned<T> {
    fn deref_mut(&mut self) -> &mut [T] {
        // SAFETY: as for `deref`.
        unsafe { std::slice::from_raw_parts_mut(self.lines.as_mut_ptr().cast(), self.len) }
    }
}
