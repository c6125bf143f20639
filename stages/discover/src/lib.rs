//! From a manifest, a TAU folder or a plain folder to the list of items.
