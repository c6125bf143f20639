//! CLIP: checkpoints, image tower, text tower and tokenizer.
