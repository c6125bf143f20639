//! Training: inputs, augmentation, optimiser, the loop and its checkpoints.
